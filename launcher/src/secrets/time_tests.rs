//! Hiding secrets takes time in proportion to the text, whatever the text is.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::*;

/// Texts that make a reader search far ahead, or back, at each place: what is repeated, and what is repeated behind
/// all of that.
const FAR: &[(&str, &str)] = &[
    // Names whose values begin with names.
    ("PWD=$", ""),
    ("OLDPWD: ~", ""),
    ("PWD=u", "/"),
    ("password=", ""),
    ("password={", "}"),
    ("password=%(", "s"),
    ("password=a,", " "),
    ("password=%s,", " "),
    ("password=....", "*"),
    ("password=str(", "'"),
    ("password=(\"", ")"),
    ("session:a&", ""),
    ("session: a ", " "),
    ("session:", "("),
    ("key=", ""),
    ("key=", "a1"),
    ("key=0123456789abcdef_", ""),
    ("sig=a&", "="),
    ("Cookie: a=b; ", ""),
    ("Authorization: None\n", ""),
    ("пароль=", ""),
    ("пароль", "="),
    ("api key ", ""),
    ("--password ", " "),
    ("--password\t", "-"),
    // Users.
    ("-u=", ""),
    ("-u=", ":"),
    ("-u=a", ":*"),
    ("-u=/", "%"),
    ("--user=1", ":1"),
    ("-u a", ":"),
    // Addresses.
    ("a://", ""),
    ("a://b:c/", ""),
    ("a://b:c/", "@"),
    ("a://b:1/", "@"),
    ("a://b:c?@", "#"),
    ("a://[b:", "@"),
    ("b:/", ""),
    ("b:c@tcp", "("),
    ("b:", "@"),
    ("://", ":"),
    // How secrets look.
    ("-----BEGIN ", ""),
    ("-----BEGIN PRIVATE KEY", ""),
    ("-----BEGIN ", "-----END "),
    ("Bearer=", ""),
    ("Basic=", ""),
    ("bearer ", ""),
    ("Bearer ", " "),
    ("Basic a/", "~"),
    ("hf_aaaaaaaaaaaaaaaaaa~", ""),
    ("hf_aaaaaaaaaaaaaaaaaa/", "~"),
    ("whsec_aaaaaaaaaaaaaa/", "~"),
    ("ya29.aaaaaaaaaaaaaaaa/", "~"),
    ("ya29.aaaaaaaaaaaaaaaa/", "-"),
    ("eyJhbGciOiJI.", ""),
    ("AKIAaaaaaaaaaaaaaaaaa/", "="),
    ("discord.com/api/webhooks/", ""),
    // Escapes.
    (r"\\\\\\\\\\\\\\'", ""),
    (r"\\\\\\\", "\""),
    (r#"\\\\\\\\""#, r"\'"),
    (r#"\"\\'"#, ""),
    (r#"\"password\": \"x\", "#, ""),
    (r"\'", "\""),
    (r"\x", ""),
    (r"\xd0\xbf", ""),
    (r"\u043f\u0430", ""),
    ("password%3D%26", ""),
    ("password%3D", "%26"),
    ("%22password%22%3A%22", ""),
    ("a%3D", "%3D"),
    ("%25", "%3D"),
    // Quotes, brackets, separators.
    ("'", ""),
    ("\"'", ""),
    ("'''a\"", ""),
    ("''", " "),
    ("'name': 'a', ", ""),
    ("'password', ('a', ", ""),
    ("'password': 'a' ", ")"),
    ("'password' 'a\\'", ""),
    ("password = [", "]"),
    ("password = ['a', ", ""),
    ("password = f('a' + ", ""),
    ("password(", "'"),
    ("d['password']", "="),
    ("x: ", ""),
    ("a, b; c & d ", ""),
    (" ", ","),
    ("(", ")"),
    // Forms.
    ("<", ""),
    ("<password>", ""),
    ("<password ", ">"),
    ("<password>a", " "),
    ("<p:", ">"),
    ("<a:password>", "</"),
    ("<password><![CDATA[", ""),
    ("<password><![CDATA[", "]]>x"),
    ("identified by ", ""),
    ("IDENTIFIED '", ""),
    ("identified \\'", ""),
    ("login ", ""),
    ("machine\t", " "),
    // Long words.
    ("a", ""),
    ("a", "=password"),
    ("a.b_c-", ""),
    ("passWord", ""),
    ("x1", "/+="),
    ("é", ""),
    ("密", "码"),
];

type Way = fn(&Secrets, &str);

/// The ways in which the commands hide what is in a text.
const WAYS: &[(&str, Way)] = &[
    ("value", |secrets, text| drop(secrets.value("x", text))),
    ("quoted value", |secrets, text| {
        drop(secrets.value("x", &format!("u'{text}'")));
    }),
    ("name", |secrets, text| drop(secrets.value(text, "'x'"))),
    ("source", |secrets, text| drop(secrets.source(text))),
    ("command line", |secrets, text| {
        let arguments = text.split(' ').map(str::to_owned);
        drop(secrets.command_line(arguments.collect()));
    }),
];

/// The lengths of the shorter and the longer text.
const LENGTHS: [usize; 2] = [20_000, 80_000];

/// So much time the shorter text takes at most.
const MOST_TIME: Duration = Duration::from_secs(1);

/// So much more time than in proportion the longer text may take: for what the clock and caches do.
const MORE_TIME: Duration = Duration::from_millis(20);

/// The processor time of this thread: other threads and processes do not count.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn takes_time_in_proportion_to_the_text() {
    let secrets = Secrets::default();
    let mut slow = Vec::new();
    for (repeated, behind) in FAR {
        let texts = LENGTHS.map(|length| match behind.len() {
            0 => repeated.repeat(length / repeated.len()),
            _ => {
                repeated.repeat(length / 2 / repeated.len())
                    + &behind.repeat(length / 2 / behind.len())
            }
        });
        for (way, hide) in WAYS {
            let time = |text: &str, known: Duration| {
                let start = processor_time();
                hide(&secrets, text);
                known.min(processor_time() - start)
            };
            let [mut short, mut long] = [Duration::MAX; 2];
            // Again only if something else has taken the time.
            let is_quick = (0..3).any(|_| {
                short = time(&texts[0], short);
                if short < MOST_TIME {
                    long = time(&texts[1], long);
                }
                long < 8 * short.min(MOST_TIME) + MORE_TIME
            });
            if !is_quick {
                slow.push(format!("{repeated}{behind}, as {way}: {short:?}, {long:?}"));
            }
        }
    }
    assert!(slow.is_empty(), "{slow:#?}");
}
