//! Secrets in text: in lines of source, in values as `repr` writes them, in command lines, in addresses of
//! servers, in headers.
//!
//! Two things make a secret: a name that stands before it ([`crate::secrets`]), or how it looks. This takes
//! no memory, and reads the text once.
//!
//! The file is long for its table of texts, which stands in its tests.

use core::ops::Range;

use crate::secret_looks::{by_its_looks, run_of};
use crate::secrets::{
    NAMED, NAMING, Secrecy, has_part, is_key_of, is_name, is_of_name, looks_random,
};

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A program's source: only what stands in quotes can be a secret.
    Source,
    /// Anything else: a value, an argument, what stands within quotes.
    Data,
}

/// What finds secrets.
pub struct Finder<'a> {
    /// How far the value of a name is hidden.
    pub secrecy: &'a dyn Fn(&[u8]) -> Secrecy,
    /// Takes the places of secrets, in their order.
    pub hide: &'a mut dyn FnMut(Range<usize>),
}

/// Text within quotes within quotes, and so on, is only looked at so deep.
const DEEPEST: usize = 3;

/// Behind `://`, a password is looked for so far.
const LONGEST_ADDRESS: usize = 4096;

/// Longer values do not look random, and stand for nothing that is put in later.
const LONGEST_PLACEHOLDER: usize = 500;

/// Calls of functions with such a first word take the name of a secret, and not the secret.
const ASKING: &[&str] = &[
    "get", "read", "load", "find", "fetch", "lookup", "ask", "prompt", "has", "is", "require",
    "input", "check", "need", "delete", "del", "remove", "pop", "validate",
];

impl Finder<'_> {
    /// Finds the secrets in a text.
    pub fn find(&mut self, text: &[u8], kind: Kind) {
        let whole = 0..text.len();
        self.part(text, whole, kind, 0);
    }

    fn part(&mut self, text: &[u8], part: Range<usize>, kind: Kind, depth: usize) {
        let mut scan = Scan {
            text: &text[..part.end],
            at: part.start,
            kind,
            depth,
            before: Before::default(),
            names_one: false,
        };
        scan.names_one = depth == 0 && self.names_a_secret(scan.text, part.start);
        while scan.at < scan.text.len() {
            self.token(&mut scan);
        }
    }

    /// Whether the text has `'name': 'password'` somewhere, or the like: then a `'value'` is a secret.
    fn names_a_secret(&self, text: &[u8], start: usize) -> bool {
        let mut at = start;
        let mut is_naming = false;
        while at < text.len() {
            match text[at] {
                b'\'' | b'"' => {
                    let literal = Literal::at(text, at);
                    let content = &text[literal.content.clone()];
                    if is_naming && is_name(content) && (self.secrecy)(content) > Secrecy::IfRandom
                    {
                        return true;
                    }
                    let rest = text[literal.end..].trim_ascii_start();
                    is_naming = is_key_of(content, NAMING) && rest.starts_with(b":");
                    at = literal.end;
                }
                b':' | b' ' | b'u' | b'b' => at += 1,
                _ => {
                    is_naming = false;
                    at += 1;
                }
            }
        }
        false
    }

    /// Looks at what stands at the present place, and goes behind it.
    fn token(&mut self, scan: &mut Scan) {
        let text = scan.text;
        let one = text[scan.at];
        match one {
            b'\\' => scan.at = (scan.at + 2).min(text.len()),
            b'\'' | b'"' => self.literal(scan, scan.at),
            _ if is_of_name(one) => self.word(scan),
            _ => {
                scan.at += 1;
                scan.before.separator(one);
            }
        }
    }

    /// Text in quotes; `start` is where its prefix begins, such as `u`.
    fn literal(&mut self, scan: &mut Scan, start: usize) {
        let literal = Literal::at(scan.text, scan.at);
        scan.at = literal.end;
        let content = &scan.text[literal.content.clone()];
        let follows = scan.text[literal.end..].trim_ascii_start();
        if scan.hides_literal(content, follows, self.secrecy) {
            (self.hide)(start..literal.end);
            scan.before.was_hidden();
            return;
        }
        if scan.depth < DEEPEST {
            self.part(
                scan.text,
                literal.content.clone(),
                Kind::Data,
                scan.depth + 1,
            );
        }
        scan.before = Before {
            name: Name::of(content, true),
            opened_by: scan.before.last_separator(),
            ..Before::default()
        };
    }

    /// A run of characters that names consist of.
    fn word(&mut self, scan: &mut Scan) {
        let (text, start) = (scan.text, scan.at);
        let rest = &text[start..];
        let length = rest.iter().take_while(|&&one| is_of_name(one)).count();
        let word = &rest[..length];
        let end = start + length;
        scan.at = end;
        if let Some(secret) = by_its_looks(text, start..end) {
            scan.at = secret.end.max(end);
            return (self.hide)(secret);
        }
        if text[end..].starts_with(b"://") {
            return self.address(scan);
        }
        let is_prefix = word.len() <= 2 && word.iter().all(|one| b"uUbBrR".contains(one));
        if is_prefix && text.get(end).is_some_and(|one| b"'\"".contains(one)) {
            return self.literal(scan, start);
        }
        let name = Name::of(word, false);
        if scan.kind == Kind::Data
            && let Some(secret) = bare_value(text, end, &name, self.secrecy)
        {
            scan.at = secret.end;
            (self.hide)(secret);
            scan.before = Before::default();
            return;
        }
        scan.before = Before {
            name,
            opened_by: scan.before.last_separator(),
            ..Before::default()
        };
    }

    /// `://USER:PASSWORD@`, at the present place.
    fn address(&mut self, scan: &mut Scan) {
        let text = scan.text;
        let start = scan.at + 3;
        scan.at = start;
        scan.before = Before::default();
        let rest = &text[start..];
        let rest = &rest[..rest.len().min(LONGEST_ADDRESS)];
        let run = run_of(rest, |one| {
            one.is_ascii_whitespace() || b"'\"<>".contains(&one)
        });
        let run = &rest[..run];
        let is_end = |one: &u8| b"/?#".contains(one);
        let authority = &run[..run.iter().position(is_end).unwrap_or(run.len())];
        let Some(colon) = authority.iter().position(|&one| one == b':') else {
            return;
        };
        let last_at = |part: &[u8]| part.iter().rposition(|&one| one == b'@');
        let is_port = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
        let end = match last_at(authority) {
            Some(at) if at > colon => at,
            // `http://host:80/a@b` has none; a password may have characters that should have been escaped.
            _ if is_port(&authority[colon + 1..]) || authority[colon + 1..].starts_with(b"%") => {
                return;
            }
            _ if authority[..colon].starts_with(b"[") => return,
            // Without an end the text has been cut, which may be within the password.
            _ => match last_at(run) {
                Some(at) if at > colon => at,
                _ if authority.len() == run.len() => run.len(),
                _ => return,
            },
        };
        let password = &run[colon + 1..end];
        scan.at = start + end;
        if !password.is_empty() && !is_placeholder(password) {
            (self.hide)(start + colon + 1..start + end);
        }
    }
}

/// Where a text is being read.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    kind: Kind,
    depth: usize,
    before: Before<'a>,
    /// Whether a name of a secret stands in it as a value, as in `{'name': 'password'}`.
    names_one: bool,
}

/// What has been read last.
#[derive(Default)]
struct Before<'a> {
    name: Name<'a>,
    /// What stood before that name.
    opened_by: u8,
    /// What stood behind it: at most so many characters, without spaces.
    separators: [u8; 3],
    count: usize,
    /// Whether text in quotes was hidden there.
    hidden: bool,
    /// Whether that was the first of several in brackets.
    in_list: bool,
}

/// A word, or text in quotes, as the name of what follows. Most words name nothing: what a name says is only
/// looked at where a value follows.
#[derive(Clone, Copy, Default)]
struct Name<'a> {
    /// Empty if it is no name.
    text: &'a [u8],
    quoted: bool,
}

impl<'a> Name<'a> {
    fn of(text: &'a [u8], quoted: bool) -> Name<'a> {
        let text = if is_name(text) { text } else { &[] };
        Name { text, quoted }
    }

    /// How far its value is hidden.
    fn secrecy(self, secrecy: &dyn Fn(&[u8]) -> Secrecy) -> Secrecy {
        match self.text {
            [] => Secrecy::Open,
            text => secrecy(text),
        }
    }

    fn is_option(self) -> bool {
        self.text.starts_with(b"-")
    }

    /// What stands behind the last dot.
    fn bare(self) -> &'a [u8] {
        self.text
            .rsplit(|&one| one == b'.')
            .next()
            .unwrap_or_default()
    }

    /// Whether it is `value` or the like.
    fn is_named(self) -> bool {
        is_key_of(self.bare(), NAMED)
    }

    /// Whether it asks for a secret by its name, as `get_secret` does.
    fn asks(self) -> bool {
        let first = self.bare().split(|&one| one == b'_').next();
        is_key_of(first.unwrap_or_default(), ASKING)
    }

    /// Whether all that follows in the line belongs to it.
    fn is_header(self) -> bool {
        has_part(self.text, &["authorization", "cookie"])
    }
}

impl Before<'_> {
    fn separator(&mut self, one: u8) {
        if one.is_ascii_whitespace() {
            return;
        }
        if matches!(one, b')' | b']' | b'}') {
            self.in_list = false;
        }
        if let Some(place) = self.separators.get_mut(self.count) {
            *place = one;
        } else {
            self.separators = [self.separators[1], self.separators[2], one];
        }
        self.count += 1;
    }

    fn separators(&self) -> &[u8] {
        &self.separators[..self.count.min(3)]
    }

    fn last_separator(&self) -> u8 {
        self.separators().last().copied().unwrap_or_default()
    }

    fn was_hidden(&mut self) {
        let in_list = self.in_list || matches!(self.separators(), b"=(" | b"=[" | b":[" | b":(");
        *self = Before {
            hidden: true,
            in_list,
            ..Before::default()
        };
    }
}

impl Scan<'_> {
    /// Whether text in quotes is a secret by what stands before it.
    fn hides_literal(
        &self,
        content: &[u8],
        follows: &[u8],
        secrecy: &dyn Fn(&[u8]) -> Secrecy,
    ) -> bool {
        let before = &self.before;
        let separators = before.separators();
        if content.is_empty() || is_placeholder(content) {
            return false;
        }
        if before.hidden {
            // `'a' 'b'`, `'a' + 'b'`, and lists.
            return matches!(separators, b"" | b"+") || (before.in_list && separators == b",");
        }
        let name = before.name;
        let assigned = matches!(
            separators,
            b"=" | b"==" | b"!=" | b":" | b"]=" | b"=(" | b"=[" | b":[" | b":(" | b"+="
        );
        if assigned && self.names_one && name.is_named() {
            return true;
        }
        let may_be_one =
            assigned || (separators == b"," && name.quoted) || (separators == b"(" && !name.quoted);
        if !may_be_one {
            return false;
        }
        let its_secrecy = name.secrecy(secrecy);
        match its_secrecy {
            Secrecy::Open => return false,
            Secrecy::IfRandom if !looks_random(content) => return false,
            _ => {}
        }
        let is_pair = || {
            matches!(before.opened_by, b'(' | b'[')
                && matches!(follows, [b')' | b']', ..] | [b',', b')' | b']', ..])
                && (!is_name(content) || secrecy(content) <= Secrecy::IfRandom)
        };
        match separators {
            _ if assigned => true,
            b"," if name.is_option() => !content.starts_with(b"-"),
            b"," => is_pair(),
            _ => !name.asks() && its_secrecy == Secrecy::Hidden,
        }
    }
}

/// Text in quotes.
struct Literal {
    /// Between the quotes.
    content: Range<usize>,
    /// Behind the last quote.
    end: usize,
}

impl Literal {
    /// The one whose first quote is here. It may have no end.
    fn at(text: &[u8], start: usize) -> Literal {
        let quote = text[start];
        let triple = text[start..].starts_with(&[quote; 3]);
        let width = if triple { 3 } else { 1 };
        let first = (start + width).min(text.len());
        let mut at = first;
        while at < text.len() {
            match text[at] {
                b'\\' => at += 2,
                _ if text[at..].starts_with(&[quote; 3][..width]) => {
                    return Literal {
                        content: first..at,
                        end: at + width,
                    };
                }
                _ => at += 1,
            }
        }
        Literal {
            content: first..text.len(),
            end: text.len(),
        }
    }
}

/// Whether this stands for a value that is put in later, or has been hidden.
fn is_placeholder(text: &[u8]) -> bool {
    match text {
        [b'%', b's' | b'r' | b'd'] => true,
        [b'%', b'(', .., b's'] | [b'{', .., b'}'] | [b'$', b'{', .., b'}'] => {
            text.len() <= LONGEST_PLACEHOLDER
        }
        b"<hidden>" | b"None" | b"null" => true,
        _ => text.iter().all(|&one| one == b'*' || one == b'.'),
    }
}

/// The value of a name in a text that is no source, such as `password=x`, `password: x`, `--password x`. The
/// name ends at `end`.
fn bare_value(
    text: &[u8],
    end: usize,
    name: &Name,
    secrecy: &dyn Fn(&[u8]) -> Secrecy,
) -> Option<Range<usize>> {
    let rest = &text[end..];
    let is_space = |one: &u8| *one == b' ' || *one == b'\t';
    let spaces = rest.iter().take_while(|one| is_space(one)).count();
    let (separator, skipped) = match rest.get(spaces)? {
        b'=' if rest.get(spaces + 1) != Some(&b'=') => (b'=', spaces + 1),
        b':' if spaces == 0 && rest.get(1) != Some(&b':') => (b':', 1),
        one if name.is_option() && spaces > 0 && *one != b'-' => (b' ', spaces),
        _ => return None,
    };
    let more = rest[skipped..]
        .iter()
        .take_while(|one| is_space(one))
        .count();
    let start = end + skipped + more;
    let value = &text[start..];
    // Text in quotes is looked at where it stands.
    if value.first().is_none_or(|one| b"'\"([{<\r\n".contains(one)) && !value.starts_with(b"{") {
        return None;
    }
    let secrecy = match name.secrecy(secrecy) {
        Secrecy::Open => return None,
        secrecy => secrecy,
    };
    let is_header = name.is_header();
    let is_next = |rest: &[u8]| {
        let length = run_of(rest, |one| !is_of_name(one));
        rest.is_empty() || (length > 0 && matches!(rest.get(length), Some(b'=' | b':')))
    };
    let value = match secrecy {
        Secrecy::IfRandom => &value[..value.len().min(LONGEST_PLACEHOLDER)],
        _ => value,
    };
    let mut length = 0;
    while let Some(&one) = value.get(length) {
        let ends = match one {
            b'\r' | b'\n' => true,
            b'}' if value.starts_with(b"{") => {
                length += 1;
                true
            }
            _ if is_header && separator != b' ' => false,
            b'&' | b';' | b',' => is_next(value[length + 1..].trim_ascii_start()),
            b'\'' | b'"' => true,
            b'>' | b')' | b']' | b'}' => {
                let follows = value.get(length + 1);
                follows.is_none_or(|next| b", '\"\r\n".contains(next))
            }
            _ => one.is_ascii_whitespace(),
        };
        if ends {
            break;
        }
        length += 1;
    }
    let value = &value[..length];
    let looks_secret = value.len() >= 12 || value.iter().any(u8::is_ascii_digit);
    let is_secret = match secrecy {
        Secrecy::Open => false,
        Secrecy::IfRandom => looks_random(value),
        // `session: closed` is no secret.
        Secrecy::IfText => separator != b':' || looks_secret,
        Secrecy::Hidden => true,
    };
    (is_secret && !value.is_empty() && !is_placeholder(value)).then(|| start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::{HIDDEN, usual};

    fn shown(text: &str, kind: Kind) -> String {
        let (mut shown, mut end) = (String::new(), 0);
        let mut hide = |secret: Range<usize>| {
            assert!(secret.start >= end && secret.end >= secret.start);
            shown.push_str(&text[end..secret.start]);
            shown.push_str(HIDDEN);
            end = secret.end;
        };
        let mut finder = Finder {
            secrecy: &usual,
            hide: &mut hide,
        };
        finder.find(text.as_bytes(), kind);
        shown + &text[end..]
    }

    /// Texts, and what is shown of them; `=` where they are shown as they are.
    fn check(kind: Kind, table: &[(&str, &str)]) {
        for &(text, expected) in table {
            let expected = if expected == "=" { text } else { expected };
            assert_eq!(shown(text, kind), expected, "{text}");
        }
    }

    #[test]
    fn hides_literals_in_source() {
        check(
            Kind::Source,
            &[
                ("password = \"x\"", "password = <hidden>"),
                (
                    "connect(host='h', password='x', port=1)",
                    "connect(host='h', password=<hidden>, port=1)",
                ),
                (
                    "self.api_key = u'abc' 'def' + 'ghi'",
                    "self.api_key = <hidden> <hidden> + <hidden>",
                ),
                ("conf['password'] = 'x'", "conf['password'] = <hidden>"),
                (
                    "d = {'password': 'x', 'user': 'bob'}",
                    "d = {'password': <hidden>, 'user': 'bob'}",
                ),
                (
                    "headers = [('Authorization', 'Bearer x')]",
                    "headers = [('Authorization', <hidden>)]",
                ),
                (
                    "setattr(a, b); p = ('password', 'x')",
                    "setattr(a, b); p = ('password', <hidden>)",
                ),
                (
                    "{'name': 'password', 'value': 'x'}",
                    "{'name': 'password', 'value': <hidden>}",
                ),
                (
                    "{'value': 'x', 'name': 'password'}",
                    "{'value': <hidden>, 'name': 'password'}",
                ),
                ("Param(name='db', value='x')", "="),
                (
                    "call(['mysql', '--password', 'x', '-v'])",
                    "call(['mysql', '--password', <hidden>, '-v'])",
                ),
                (
                    "call(['mysql', '--password=x'])",
                    "call(['mysql', '--password=<hidden>'])",
                ),
                (
                    "connect('postgres://u:p@h/db')",
                    "connect('postgres://u:<hidden>@h/db')",
                ),
                (
                    "connect(\"host=h password=x user=u\")",
                    "connect(\"host=h password=<hidden> user=u\")",
                ),
                ("if password == 'x':", "if password == <hidden>:"),
                ("user.set_password('x')", "user.set_password(<hidden>)"),
                (
                    "passwords = ['a', 'b'], 'c'",
                    "passwords = [<hidden>, <hidden>], 'c'",
                ),
                ("password = '''x", "password = <hidden>"),
                ("key = 'a3f5c9e1b2d4f607'", "key = <hidden>"),
                // No secrets.
                ("password = getpass('Password: ')", "="),
                ("password = os.environ['DB_PASSWORD']", "="),
                ("secret = get_secret('db/main')", "="),
                ("fields = ['username', 'password', 'email']", "="),
                ("for key in ('a', 'b'): d[key] = 'x'", "="),
                ("author = 'me'; monkey = 'x'; keys = 'y'", "="),
                ("print 'password=%s' % password", "="),
                ("password = ''", "="),
                ("log('token: {}'.format(token))", "="),
                ("key = 'user:4711:profile'", "="),
                ("cursor.execute('select password from users')", "="),
                ("x = \"it's\" # password", "="),
            ],
        );
    }

    #[test]
    fn hides_in_values_and_arguments() {
        check(
            Kind::Data,
            &[
                ("postgres://u:p@h/db", "postgres://u:<hidden>@h/db"),
                ("redis://:p@h:6379/0", "redis://:<hidden>@h:6379/0"),
                ("'amqp://u:p/q@h'", "'amqp://u:<hidden>@h'"),
                (
                    "'postgres://user:hunt'... (90 in all)",
                    "'postgres://user:<hidden>'... (90 in all)",
                ),
                (
                    "http://h/a?token=abc&api_key=d&q=1",
                    "http://h/a?token=<hidden>&api_key=<hidden>&q=1",
                ),
                (
                    "host=h password=x;y user=u",
                    "host=h password=<hidden> user=u",
                ),
                (
                    "Server=h;Password=x;Database=d",
                    "Server=h;Password=<hidden>;Database=d",
                ),
                (
                    "user=a,password=b,host=c",
                    "user=a,password=<hidden>,host=c",
                ),
                (
                    "AWS_SECRET_ACCESS_KEY=abc/def+1",
                    "AWS_SECRET_ACCESS_KEY=<hidden>",
                ),
                (
                    "mysql --password x --user u",
                    "mysql --password <hidden> --user u",
                ),
                ("Authorization: Basic a b", "Authorization: <hidden>"),
                ("Cookie: a=b; c=d", "Cookie: <hidden>"),
                ("X-Api-Key: abc", "X-Api-Key: <hidden>"),
                ("Bearer rosebud", "Bearer <hidden>"),
                ("u'Bearer abc.def'", "u'Bearer <hidden>'"),
                ("eyJhbGciOiJI.eyJzdWIi.SflKx", "<hidden>"),
                ("id AKIAIOSFODNN7EXAMPLE.", "id <hidden>"),
                ("ghp_0123456789abcdefghij", "<hidden>"),
                ("xoxb-1234-5678-abcd", "<hidden>"),
                (
                    "'-----BEGIN RSA PRIVATE KEY-----\\nMII\\n-----END RSA PRIVATE KEY-----\\n'",
                    "'<hidden>\\n'",
                ),
                ("-----BEGIN PRIVATE KEY-----\nMII", "<hidden>"),
                ("<Conn password=x>", "<Conn password=<hidden>>"),
                (
                    "Creds(user='bob', password='x')",
                    "Creds(user='bob', password=<hidden>)",
                ),
                ("{'a': ('token', u'x')}", "{'a': ('token', <hidden>)}"),
                ("import x; password = 'y'", "import x; password = <hidden>"),
                // No secrets.
                ("http://host:8080/path@x", "="),
                ("http://[::1]:80/", "="),
                ("https://host/a?page=2&author=me", "="),
                ("-----BEGIN CERTIFICATE-----\nMII", "="),
                ("Basic usage of the bearer tokens", "="),
                ("session: closed", "="),
                ("password=%s", "="),
                ("{'api_token': <hidden>}", "="),
                ("PWD=/root", "="),
                ("mysql -pSECRET", "="),
                ("a::b c==d --token-file f", "="),
                ("AKIAlower", "="),
                ("é 'password", "="),
                ("", "="),
            ],
        );
    }

    #[test]
    fn any_text_can_be_searched() {
        let parts = [
            "'",
            "\"",
            "\\",
            "password",
            "=",
            ":",
            "://",
            "@",
            "é",
            " ",
            ",",
            "(",
            "-----BEGIN",
        ];
        let mut dice = 1_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push_str(parts[(dice >> 33) as usize % parts.len()]);
            }
            for kind in [Kind::Source, Kind::Data] {
                shown(&text, kind);
            }
        }
    }
}
