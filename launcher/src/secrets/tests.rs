//! Texts, and what is shown of them.
//!
//! The file is long for its tables of texts.

use super::*;
use Kind::{Data, Source};

/// Texts, and what is shown of them; `=` where they are shown as they are.
fn check(kind: Kind, table: &[(&str, &str)]) {
    let secrets = Secrets::default();
    let shown = table.iter().map(|(text, _)| secrets.without(text, kind));
    let wrong = shown
        .zip(table)
        .filter(|(shown, (text, expected))| match *expected {
            "=" => shown != text,
            expected => shown != expected,
        });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn line(secrets: &Secrets, line: &[&str]) -> Vec<String> {
    secrets.command_line(line.iter().map(|one| one.to_string()).collect())
}

#[test]
fn hides_in_command_lines() {
    let secrets = Secrets::default();
    for (arguments, expected) in [
        (
            &["app", "--password", "x", "y"][..],
            &["app", "--password", "<hidden>", "y"][..],
        ),
        (&["app", "--password=x y"], &["app", "--password=<hidden>"]),
        (
            &["app", "--token", "-v", "x"],
            &["app", "--token", "-v", "x"],
        ),
        (&["DB_PASSWORD=a b", "é"], &["DB_PASSWORD=<hidden>", "é"]),
        (
            &["app", "--db", "postgres://u:p@h/é"],
            &["app", "--db", "postgres://u:<hidden>@h/é"],
        ),
        (
            &["python", "-c", "f(password='x')"],
            &["python", "-c", "f(password=<hidden>)"],
        ),
        (
            &["curl", "-H", "Authorization: Basic x y"],
            &["curl", "-H", "Authorization: <hidden>"],
        ),
        (
            &["celery worker --password x -v"],
            &["celery worker --password <hidden> -v"],
        ),
        (
            &["app", "--key", "/etc/ssl/key.pem"],
            &["app", "--key", "/etc/ssl/key.pem"],
        ),
        (&["app", "--pin", "1234"], &["app", "--pin", "<hidden>"]),
        (&["app", "--password"], &["app", "--password"]),
        (&["mysql", "-pSECRET"], &["mysql", "-pSECRET"]),
    ] {
        assert_eq!(line(&secrets, arguments), expected, "{arguments:?}");
    }
    let shown = line(&Secrets::none(), &["app", "--password", "x"]);
    assert_eq!(shown, ["app", "--password", "x"]);
}

#[test]
fn hides_values() {
    let secrets = Secrets::default();
    for (name, value, expected) in [
        ("password", "'x'", "<hidden>"),
        ("a", "'x'", "'x'"),
        (
            "session",
            "<requests.Session at 0x1>",
            "<requests.Session at 0x1>",
        ),
        ("session", "u'x'", "<hidden>"),
        ("pin", "1234", "<hidden>"),
        ("key", "'a3f5c9e1b2d4f607'", "<hidden>"),
        ("key", "'name'", "'name'"),
        ("conn", "<Conn password=x>", "<Conn password=<hidden>>"),
        ("é", "'é password=é'", "'é password=<hidden>'"),
    ] {
        assert_eq!(secrets.value(name, value), expected, "{name}");
    }
    assert_eq!(Secrets::none().value("password", "'x'"), "'x'");
    assert_eq!(
        secrets.source("password = 'x' + y"),
        "password = <hidden> + y"
    );
}

#[test]
fn hides_literals_in_source() {
    check(
        Source,
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
        Data,
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
        "\\\"",
        "<",
        ">",
        "</",
        "<![CDATA[",
        "%3D",
        "login ",
        "IDENTIFIED BY",
        "-u",
        "пароль",
        "\\x",
    ];
    let mut dice = 1_u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..12 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push_str(parts[(dice >> 33) as usize % parts.len()]);
        }
        for kind in [Source, Data] {
            Secrets::default().without(&text, kind);
        }
    }
}

#[test]
fn hides_all_text_of_an_expression() {
    check(
        Source,
        &[
            ("password = str('x')", "password = str(<hidden>)"),
            (
                "f(password=str('x'), a='y')",
                "f(password=str(<hidden>), a='y')",
            ),
            (
                "password = 'x' if c else 'y'; a = 'z'",
                "password = <hidden> if c else <hidden>; a = 'z'",
            ),
            ("password = 'ab%s' % 'x'", "password = <hidden> % <hidden>"),
            (
                "password = ''.join(['x', 'y'])",
                "password = ''.join([<hidden>, <hidden>])",
            ),
            ("password = a or ['x'][0]", "password = a or [<hidden>][0]"),
            (
                "d = {'password': str('x'), 'a': 'y'}",
                "d = {'password': str(<hidden>), 'a': 'y'}",
            ),
            ("d['password'] = str('x')", "d['password'] = str(<hidden>)"),
            (
                "passwords = dict(a='x', b='y')",
                "passwords = dict(a=<hidden>, b=<hidden>)",
            ),
            ("passwords = {'bob': 'x'}", "passwords = {'bob': <hidden>}"),
            (
                "password += str(u'x')  # it's 'y'",
                "password += str(<hidden>)  # it's 'y'",
            ),
            (
                "auth = Basic('bob', 'x')",
                "auth = Basic(<hidden>, <hidden>)",
            ),
            (
                "password = os.environ.get('DB', 'x')",
                "password = os.environ.get('DB', <hidden>)",
            ),
            (
                "connect(UID='bob', PWD='x')",
                "connect(UID='bob', PWD=<hidden>)",
            ),
            // No secrets.
            ("password = os.environ['DB_PASSWORD'].strip()", "="),
            ("password = raw_input('Password: ')", "="),
            ("password = _('Password')", "="),
            ("password = self._get_parameter('name')", "="),
            ("password = conf['db']['key']", "="),
            ("password = open('/run/daylight').read()", "="),
            (
                "password = forms.CharField(max_length=8, label='Password')",
                "=",
            ),
            ("def f(password=None, user='bob'): return 'x'", "="),
            ("if password: x = 'y'", "="),
            ("if f(password=p): print 'y'", "="),
            ("f(password=p, user='bob')", "="),
            ("a, b = f(password, 'x')", "="),
            ("x = sorted(y, key=lambda one: one['a'])", "="),
            ("sorted(x, key=f)", "="),
            ("max_tokens=5", "="),
            ("os.environ['PWD'] = '/root'", "="),
            ("author, monkey, keyboard = 'a', 'b', 'c'", "="),
            ("bypass = compass = trespass = surpass = 'x'", "="),
            ("passenger, passage = 'x', 'y'", "="),
            ("raise ValueError('bad key: %r' % key)", "="),
            ("signal.signal(signal.SIGTERM, handler)", "="),
            ("os.kill(pid, sig=9)", "="),
            ("import hmac; x = hmac.new(key, 'x')", "="),
        ],
    );
}

#[test]
fn hides_by_names_in_text() {
    check(
        Data,
        &[
            (
                "Driver={SQL};UID=bob;PWD=rosebud",
                "Driver={SQL};UID=bob;PWD=<hidden>",
            ),
            (
                "'Driver={SQL};PWD=rosebud;UID=bob'",
                "'Driver={SQL};PWD=<hidden>;UID=bob'",
            ),
            ("{'PWD': 'rosebud'}", "{'PWD': <hidden>}"),
            (
                "{'passWord': 'x', 'dbpass': 'y'}",
                "{'passWord': <hidden>, 'dbpass': <hidden>}",
            ),
            ("{'API key': 'x'}", "{'API key': <hidden>}"),
            ("{u'Pass word': u'x'}", "{u'Pass word': <hidden>}"),
            ("{'mot de passe': 'x'}", "{'mot de passe': <hidden>}"),
            ("'api key: rosebud'", "'api key: <hidden>'"),
            ("pass word = x", "pass word = <hidden>"),
            (
                "redis --requirepass x --port 1",
                "redis --requirepass <hidden> --port 1",
            ),
            (
                "openssl -passin pass:x -in f",
                "openssl -passin <hidden> -in f",
            ),
            (
                "https://h/c?sv=2019&sig=x%3D&se=1",
                "https://h/c?sv=2019&sig=<hidden>&se=1",
            ),
            ("'https://h/c?sig=x'", "'https://h/c?sig=<hidden>'"),
            (
                "f%3Fpassword%3Dx%26a%3Db",
                "f%3Fpassword%3D<hidden>%26a%3Db",
            ),
            (
                "%7B%22pw%22%3A%20%22x%22%7D",
                "%7B%22pw%22%3A%20%22<hidden>%22%7D",
            ),
            ("u'пароль=x, a'", "u'пароль=<hidden> a'"),
            ("Пароль: x", "Пароль: <hidden>"),
            ("'密码=x'", "'密码=<hidden>'"),
            ("contraseña=x hasło=y", "contraseña=<hidden> hasło=<hidden>"),
            (
                r"u'\u043f\u0430\u0440\u043e\u043b\u044c=x'",
                r"u'\u043f\u0430\u0440\u043e\u043b\u044c=<hidden>'",
            ),
            (
                r"{'\xe5\xaf\x86\xe7\xa0\x81': 'x'}",
                r"{'\xe5\xaf\x86\xe7\xa0\x81': <hidden>}",
            ),
            (r"{u'contrase\xf1a': 'x'}", r"{u'contrase\xf1a': <hidden>}"),
            ("f(password=str('x'), a)", "f(password=<hidden>, a)"),
            // No secrets.
            ("{'PWD': '/root', 'OLDPWD': u'/tmp'}", "="),
            ("PWD=/home/x OLDPWD=~", "="),
            ("'cd $PWD; PWD=$HOME make'", "="),
            ("{'bypass': 'x', 'compass': 'y', 'passenger': 'z'}", "="),
            (
                "trespass=1 surpass=2 passage=3 monkey=4 keyboard=5 author=me",
                "=",
            ),
            ("kill(pid, sig=9)", "="),
            ("https://h/?signal=1&design=2", "="),
            ("привет=x мир: y", "="),
            ("key=lambda x: x", "="),
            ("'the key word: x', 'a pass: y'", "="),
            ("100%: done, 5%3 = 2", "="),
            ("/usr/lib/python2.7/getpass.py", "="),
        ],
    );
}

#[test]
fn hides_in_forms() {
    check(
        Data,
        &[
            (
                "\"ALTER ROLE bob WITH PASSWORD 'x'\"",
                "\"ALTER ROLE bob WITH PASSWORD <hidden>\"",
            ),
            (
                r"'CREATE USER bob PASSWORD \'x\' VALID'",
                r"'CREATE USER bob PASSWORD <hidden> VALID'",
            ),
            (
                "\"TO bob IDENTIFIED BY 'x' WITH GRANT\"",
                "\"TO bob IDENTIFIED BY <hidden> WITH GRANT\"",
            ),
            (
                "identified by password 'x'",
                "identified by password <hidden>",
            ),
            (
                "IDENTIFIED WITH 'plugin' BY 'x'",
                "IDENTIFIED WITH 'plugin' BY <hidden>",
            ),
            (
                "ALTER USER bob IDENTIFIED BY x;",
                "ALTER USER bob IDENTIFIED BY <hidden>;",
            ),
            (
                "'<a><password>x y</password><b>c</b></a>'",
                "'<a><password><hidden></password><b>c</b></a>'",
            ),
            (
                "<wsse:Password Type=\"text\">x</wsse:Password>",
                "<wsse:Password Type=\"text\"><hidden></wsse:Password>",
            ),
            ("<token><![CDATA[a<b]]></token>", "<token><hidden></token>"),
            (
                "'<password>rosebu'... (90 in all)",
                "'<password><hidden>'... (90 in all)",
            ),
            (
                r#"'{\\"password\\": \\"x\\", \\"a\\": \\"b\\"}'"#,
                r#"'{\\"password\\": <hidden>, \\"a\\": \\"b\\"}'"#,
            ),
            (
                r#"{\"password\":\"x\",\"a\":1}"#,
                r#"{\"password\":<hidden>,\"a\":1}"#,
            ),
            (
                r"'password=\'x y\' user=\'bob\''",
                r"'password=<hidden> user=\'bob\''",
            ),
            (
                "machine h login bob password x",
                "machine h login bob password <hidden>",
            ),
            (
                "'default login bob password x'",
                "'default login bob password <hidden>'",
            ),
            ("'bob:x@tcp(h:3306)/db'", "'bob:<hidden>@tcp(h:3306)/db'"),
            ("bob:a@b:c@unix(/s)/db", "bob:<hidden>@unix(/s)/db"),
            ("curl -u bob:x h", "curl -u bob:<hidden> h"),
            ("curl --user 'bob:x' h", "curl --user 'bob:<hidden>' h"),
            ("curl --user=bob:x h", "curl --user=bob:<hidden> h"),
            (
                "['curl', '-u', 'bob:x', 'h']",
                "['curl', '-u', 'bob:<hidden>', 'h']",
            ),
            (
                "https://hooks.slack.com/services/T0/B0/x",
                "https://hooks.slack.com/services/<hidden>",
            ),
            ("hvs.CAESIJrosebud89abcdefghijkl", "<hidden>"),
            ("hf_abcdefABCDEF0123456789", "<hidden>"),
            ("'dckr_pat_abcdef-0123456789'", "'<hidden>'"),
            ("whsec_abcdef0123456789+/x=", "<hidden>"),
            ("ya29.a0Af-abcdefgh_123", "<hidden>"),
            ("shpat_0123456789abcdef", "<hidden>"),
            ("dop_v1_0123456789abcdef", "<hidden>"),
            // No secrets.
            ("select password from users where a = 'x'", "="),
            ("'the user is identified by name'", "="),
            ("<Password object at 0x7f>, <Token at 0x1>", "="),
            ("'usage: login <user> <password> [host]'", "="),
            ("<token/><name>x</name>", "="),
            ("r'(?P<token>[a-z]+)'", "="),
            ("'http://<user>:<password>@h'", "="),
            ("<p:name>x</p:name>", "="),
            ("the login page of the machine in the hall", "="),
            ("12:30:45 at bob@h (x)", "="),
            ("mailto:bob@h", "="),
            ("docker run -u 1000:1000 x", "="),
            ("python -u a.py --user bob", "="),
            ("hf_model_weights_of_a_layer", "="),
            ("https://hooks.slack.com/", "="),
            (r#"'it\'s \"fine\": \\ C:\\dir\\'"#, "="),
        ],
    );
    check(
        Source,
        &[
            (
                r#"x = "{\"password\": \"x\", \"a\": \"b\"}""#,
                r#"x = "{\"password\": <hidden>, \"a\": \"b\"}""#,
            ),
            (
                "db.execute(\"SET PASSWORD 'x'\")",
                "db.execute(\"SET PASSWORD <hidden>\")",
            ),
        ],
    );
}

#[test]
fn hides_long_secrets_to_their_ends() {
    let long = "a1b2".repeat(2000);
    for (before, behind, shown) in [
        ("key=", " b", "key=<hidden> b"),
        ("a://b:", "/c", "a://b:<hidden>/c"),
        ("<token><![CDATA[", "]]></token>", "<token><hidden></token>"),
        ("<token><![CDATA[", "", "<token><hidden>"),
        ("-u=/-u=b:", " c", "-u=/-u=b:<hidden> c"),
    ] {
        let text = [before, &long, behind].concat();
        assert_eq!(Secrets::default().text(&text), shown);
    }
    check(
        Data,
        &[
            ("-u=/-u=b:x -u=c:y", "-u=/-u=b:<hidden> -u=c:<hidden>"),
            ("-u=1:2 -u=/:y -u=c", "="),
            ("a://b:c/ d://e:f/@g", "a://b:c/ d://e:<hidden>@g"),
            ("a://b:c/d://e:f/@g", "a://b:<hidden>@g"),
            ("PWD=u/root PWD=u'", "PWD=u/root PWD=<hidden>'"),
            (r#"'it "password": "x""#, r#"'it "password": <hidden>"#),
        ],
    );
}
