//! Secrets that are known by how they look, whatever their names.

use std::ops::Range;

use protocol::secrets::is_key_of;

use crate::secrets::ahead::Ahead;

/// How secrets of some makers begin, and how long they are at least: AWS, GitHub, GitLab, Slack, Stripe,
/// Google, npm, PyPI, OpenAI, SendGrid, Vault, Docker, Shopify, DigitalOcean.
const BEGINNINGS: &[(&str, usize)] = &[
    ("AKIA", 20),
    ("ASIA", 20),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 24),
    ("glpat-", 16),
    ("xoxa-", 12),
    ("xoxb-", 12),
    ("xoxp-", 12),
    ("xoxr-", 12),
    ("xoxs-", 12),
    ("xapp-", 12),
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("rk_live_", 16),
    ("AIza", 30),
    ("npm_", 24),
    ("pypi-", 24),
    ("sk-", 32),
    ("SG.", 32),
    ("hvs.", 20),
    ("hvb.", 20),
    ("dckr_pat_", 20),
    ("shpat_", 16),
    ("shpss_", 16),
    ("dop_v1_", 20),
];

/// The same, where the rest is letters and digits alone, as others' names begin so too: Hugging Face, Stripe's
/// webhooks, Google's OAuth.
const PLAIN_BEGINNINGS: &[(&str, usize)] = &[("hf_", 20), ("whsec_", 16), ("ya29.", 16)];

/// Shorter words are none of these.
const SHORTEST_KEY: usize = 12;

/// Hosts of webhooks, and the path behind which the secret stands.
const WEBHOOKS: &[(&str, &str)] = &[
    ("hooks.slack.com", "/services/"),
    ("discord.com", "/api/webhooks/"),
    ("discordapp.com", "/api/webhooks/"),
];

/// The shortest word that may begin a secret, or be one: `Basic`.
const SHORTEST: usize = 5;

/// What may stand behind `Bearer` in ordinary sentences.
const NO_BEARERS: &[&str] = &[
    "token",
    "tokens",
    "auth",
    "authentication",
    "scheme",
    "or",
    "and",
    "of",
    "is",
];

/// The length of what stands before the first character that ends it.
pub(super) fn run_of(text: &[u8], is_end: impl Fn(u8) -> bool) -> usize {
    text.iter()
        .position(|&one| is_end(one))
        .unwrap_or(text.len())
}

/// A secret that is known by how it looks: it begins with a word, which this is.
pub(super) fn by_its_looks(
    text: &[u8],
    word: Range<usize>,
    ahead: &mut Ahead,
) -> Option<Range<usize>> {
    let (start, rest) = (word.start, &text[word.start..]);
    let name = &text[word];
    // Most words are shorter than any of these.
    if name.len() < SHORTEST {
        return None;
    }
    if name.starts_with(b"-----BEGIN") {
        let line = &rest[..rest.len().min(80)];
        if !line.windows(11).any(|part| part == b"PRIVATE KEY") {
            return None;
        }
        // To its end, or to that of the text.
        let end = rest.windows(9).position(|part| part == b"-----END ");
        let end = end.and_then(|at| {
            let close = rest[at + 9..]
                .windows(5)
                .position(|part| part == b"-----")?;
            Some(at + 9 + close + 5)
        });
        return Some(start..start + end.unwrap_or(rest.len()));
    }
    let ends_token = |one: u8| !(one.is_ascii_alphanumeric() || b"-_.+/=~".contains(&one));
    if matches!(name, b"Bearer" | b"bearer" | b"Basic") {
        let spaces = rest[name.len()..]
            .iter()
            .take_while(|&&one| one == b' ')
            .count();
        if spaces == 0 {
            return None;
        }
        let from = name.len() + spaces;
        let token = &rest[from..][..run_of(&rest[from..], ends_token)];
        let has = |of: fn(&u8) -> bool| token.iter().any(of);
        let is_secret = match name {
            b"Bearer" => !is_key_of(token.trim_ascii_end(), NO_BEARERS),
            b"bearer" => has(u8::is_ascii_digit) || token.len() >= 16,
            // `Basic usage` is no secret.
            _ => {
                token.len() >= 8
                    && (has(u8::is_ascii_digit)
                        || has(u8::is_ascii_uppercase)
                        || token.ends_with(b"="))
            }
        };
        return (is_secret && !token.is_empty()).then(|| start + from..start + from + token.len());
    }
    if name.starts_with(b"eyJ") && name.len() >= 16 && (name.contains(&b'.') || name.len() >= 40) {
        return Some(start..start + name.len());
    }
    if name.len() < SHORTEST_KEY {
        return None;
    }
    let begins = |(beginning, least): &&(&str, usize)| {
        name.len() >= *least && name.starts_with(beginning.as_bytes())
    };
    if let Some((beginning, _)) = PLAIN_BEGINNINGS.iter().find(begins) {
        let from = start + beginning.len();
        let behind = &text[from..];
        let is_plain = |one: u8| one.is_ascii_alphanumeric() || b"+/=".contains(&one);
        let length = match *beginning {
            "ya29." => {
                let is_end = |one| !(is_plain(one) || b"-_.".contains(&one));
                ahead.token.from(from, || run_of(behind, is_end)) - from
            }
            // Not beyond the next such beginning: that has a `_`.
            _ => run_of(behind, |one| !is_plain(one)),
        };
        let key = &behind[..length];
        let is_key = behind.get(length).is_none_or(|&one| ends_token(one))
            && key
                .iter()
                .any(|one| one.is_ascii_digit() || one.is_ascii_uppercase());
        return is_key.then(|| start..start + beginning.len() + key.len());
    }
    let host = |(host, _): &&(&str, &str)| name == host.as_bytes();
    if let Some((_, path)) = WEBHOOKS.iter().find(host) {
        let path = rest[name.len()..].strip_prefix(path.as_bytes())?;
        let (length, end) = (run_of(path, ends_token), start + rest.len());
        let from = end - path.len();
        return (length > 0).then_some(from..from + length);
    }
    let found = BEGINNINGS.iter().find(begins)?;
    // Of an AWS key all letters are large.
    let is_key =
        found.0.len() != 4 || !found.0.ends_with("IA") || !name.iter().any(u8::is_ascii_lowercase);
    is_key.then(|| start..start + name.len())
}
