//! Values of the standard library's types in `--locals`: shown by what is in them, read without running any code,
//! and without secrets.

use tests::ask::{WAYS, answer, woken_target};
use tests::case;
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::variables::below;

/// Checks the variables of this function, however the program is asked.
#[track_caller]
fn shows(program: &Program, function: &str, expected: &[&str]) {
    for via in WAYS {
        let text = answer(program.pid(), &["--locals", "--via", via]);
        assert_eq!(below(&text, function), expected, "{via}");
        assert!(!text.contains("rosebud"), "{via}: {text}");
    }
}

/// Checks that none of the program's code has run.
#[track_caller]
fn ends_untouched(program: Program) {
    assert_eq!(program.ends_well().out(), "ready\nran []\n");
}

case!(times);
fn times(python: &Interpreter) {
    let program = woken_target(python, "values.py", &[]);
    shows(
        &program,
        "times",
        &[
            "moment = datetime.datetime(2026, 11, 28, 15, 2)",
            "exactly = datetime.datetime(1, 2, 3, 4, 5, 6, 78901)",
            "zoned = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=<__main__.Zone at >)",
            "day = datetime.date(2026, 2, 28)",
            "clock = datetime.time(23, 59, 58, 7)",
            "zoned_clock = datetime.time(1, 2, tzinfo=<__main__.Zone at >)",
            "midnight = datetime.time(0, 0)",
            "span = datetime.timedelta(-1, 5, 6)",
            "hours = datetime.timedelta(0, 7200)",
            "days = datetime.timedelta(3)",
            "own_day = <__main__.Day at  datetime.date(2000, 1, 1)>",
            "parts = time.struct_time(tm_year=2026, tm_mon=11, tm_mday=28, tm_hour=15, tm_min=2, \
             tm_sec=3, tm_wday=5, tm_yday=332, tm_isdst=0)",
            "fake = <datetime.datetime at >",
        ],
    );
    shows(
        &program,
        "suspends",
        &[
            "in_generator = datetime.date(2026, 3, 1)",
            "items = deque([1])",
        ],
    );
    ends_untouched(program);
}

case!(numbers);
fn numbers(python: &Interpreter) {
    let program = woken_target(python, "values.py", &[]);
    shows(
        &program,
        "numbers",
        &[
            "price = Decimal('12.50')",
            "tiny = Decimal('-1E-10')",
            "endless = Decimal('Infinity')",
            "no_number = Decimal('NaN')",
            "money = <__main__.Money at  Decimal('3.99')>",
            "third = Fraction(1, 3)",
            "identity = UUID('12345678-1234-5678-9234-567812345678')",
            "small = UUID('00000000-0000-0000-0000-000000000001')",
            "imaginary = 1j",
            "both = (1-2.5j)",
            "part = slice(1, None, 2)",
            "some = xrange(10)",
            "others = xrange(1, 10, 3)",
            "ints = array('i', [1, -2, 3])",
            "floats = array('d', [0.5])",
            "text = array('c', 'abc')",
            r"wide = array('u', u'\u20ac')",
            "nothing = array('h')",
            r"raw = bytearray(b'a\x00b')",
        ],
    );
    ends_untouched(program);
}

case!(containers);
fn containers(python: &Interpreter) {
    let program = woken_target(python, "values.py", &[]);
    let long: Vec<String> = (130..169).map(|number| number.to_string()).collect();
    let long = format!("long_ = deque([{}, ... 31 more])", long.join(", "));
    for via in WAYS {
        let text = answer(program.pid(), &["--locals", "--via", via]);
        let lines = below(&text, "containers");
        for line in [
            "items = deque([1, 'two'])",
            "bounded = deque([2, 3], maxlen=2)",
            &long,
            "no_items = deque([])",
            "circle = deque([deque([...])])",
            "pair = deque(['password', <hidden>])",
            "command = deque(['x', '--password', <hidden>])",
            "inner = deque([{'password': <hidden>}, __main__.Login(user='me', password=<hidden>)])",
            "jobs = <__main__.Jobs at  deque([1])>",
            "queue = <Queue.Queue instance at >",
            "  .queue = deque(['a job'])",
            "table = <__main__.Table at  defaultdict(<class int>, {'a': 1})>",
            "point = __main__.Point(x=1, y='two')",
            "spot = __main__.Spot(x=3, y=4)",
            "login = __main__.Login(user='me', password=<hidden>)",
        ] {
            assert!(
                lines.iter().any(|one| one == line),
                "{via}: no {line} in {lines:#?}"
            );
        }
        let lists = lines.iter().find(|line| line.starts_with("lists = "));
        let lists = lists.unwrap();
        assert!(lists.starts_with("lists = defaultdict(<class list>, {"));
        assert!(lists.contains("'a': [1]") && lists.contains("'password': <hidden>"));
        assert!(!text.contains("rosebud"), "{text}");
        if text.contains(", in counters\n") {
            let counter = &below(&text, "counters")[0];
            assert!(counter.starts_with("counter = Counter({"), "{counter}");
            assert!(counter.contains("'a': 2"), "{counter}");
            assert_eq!(
                below(&text, "counters")[1],
                "ordered = OrderedDict({'z': 'changed', 'y': 1, 'w': 3, 'v': 4, \
                 7: OrderedDict({...}), 'password': <hidden>})"
            );
        }
    }
    ends_untouched(program);
}

case!(objects);
fn objects(python: &Interpreter) {
    let program = woken_target(python, "values.py", &[]);
    for via in WAYS {
        let text = answer(program.pid(), &["--locals", "--via", via]);
        let mut lines = below(&text, "objects");
        let root = lines.pop().unwrap();
        let start = "root = pwd.struct_passwd(pw_name='root', pw_passwd=<hidden>, pw_uid=0, ";
        assert!(root.starts_with(start), "{root}");
        // Descriptors have any numbers.
        for line in &mut lines {
            if let Some((start, rest)) = line.split_once("fd ") {
                let rest = rest.trim_start_matches(|char: char| char.is_ascii_digit());
                *line = format!("{start}fd{rest}");
            }
        }
        assert_eq!(
            lines,
            [
                "error = ValueError('bad', 3)",
                "no_arguments = KeyError()",
                "missing = IOError(2, 'No such file', '/nowhere')",
                "failure = __main__.Failure('broken', 1)",
                "  .password = <hidden>",
                "  .reason = 'why'",
                "of_pair = RuntimeError('password', <hidden>)",
                "call = functools.partial(<built-in max at >, 1, password=<hidden>, key=<built-in len at >)",
                "pattern = re.compile('a(b+)', re.I | re.M)",
                "match = <match 'abb' at 1 to 4, of re.compile('a(b+)', re.I | re.M) at >",
                r"wide_match = <match u'\u20ac' at 1 to 2, of re.compile(u'\u20ac') at >",
                "no_match = None",
                "opened = <open file '/dev/null', mode 'rb' at >",
                "closed = <closed file '/dev/null', mode 'r' at >",
                "sock = <socket, fd, AF_INET, SOCK_STREAM at >",
                "limited = <socket, fd, AF_UNIX, SOCK_DGRAM, timeout 2.5 s at >",
                "eager = <socket, fd, AF_INET, SOCK_STREAM, non-blocking at >",
                "shut = <socket, closed at >",
                "slots = <__main__.Slots at >",
                "  ._Slots__private = 'own'",
                "  .password = <hidden>",
                "  .x = 1",
                "derived = <__main__.Derived at >",
                "  ._Slots__private = 'own'",
                "  .more = 2",
                "  .password = <hidden>",
                "  .x = 1",
                "names_itself = <__main__.NamesItself at >",
                "  .name = 'password'",
                "  .value = <hidden>",
                "password = <hidden>",
                "auth = <hidden>",
                "key = <hidden>",
            ],
            "{via}"
        );
        assert!(!text.contains("rosebud"), "{text}");
    }
    ends_untouched(program);
}
