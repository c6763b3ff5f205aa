//! Secrets in any text: what is hidden lies within it, in order, and nothing else changes.

#![no_main]

use launcher::secrets::Secrets;
use libfuzzer_sys::fuzz_target;
use protocol::secrets::HIDDEN;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let secrets = Secrets::default();
    let shown = [secrets.source(&text), secrets.value("x", &text)];
    for shown in shown {
        // What is left stands in the text, in the same order.
        let mut rest = &*text;
        for part in shown.split(HIDDEN) {
            let at = rest.find(part).expect("it was there");
            rest = &rest[at + part.len()..];
        }
    }
    let arguments: Vec<String> = text.split('\0').map(str::to_owned).collect();
    let count = arguments.len();
    assert_eq!(secrets.command_line(arguments).len(), count);
    assert_eq!(Secrets::none().value("password", &text), text);
});
