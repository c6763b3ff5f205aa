//! How much longer a program takes with the agent that forks all day: each child gets an agent too.

use tests::ask::{bare_target, target};
use tests::interpreters::Interpreter;
use tests::measured::{median, verdict};
use tests::process::run;

/// How often each program is started, with the agent and without in turns.
const ROUNDS: usize = 9;

/// What a program does again and again: its name, the arguments of `fork_costs.py`, how often in one run, and by
/// how much longer it may take.
///
/// "Threaded" is a program that has had a thread of its own. In each of its children the interpreter calls
/// `threading._after_fork` (Python/ceval.c, `PyEval_ReInitThreads`, 2.7), which takes about as long as the fork. The agent
/// spares the children that call, as it cannot tell such a program from one that has never had a GIL.
const SUBJECTS: [(&str, &[&str], usize, Option<f64>); 6] = [
    ("fork and _exit", &["exit"], 150, Some(1.10)),
    ("… threaded", &["exit", "threaded"], 150, Some(1.10)),
    ("subprocess.call", &["command"], 100, Some(1.05)),
    ("… threaded", &["command", "threaded"], 100, Some(1.05)),
    ("100 workers that live 50 ms", &["prefork"], 3, None),
    ("multiprocessing.Pool(4)", &["pool"], 10, None),
];

/// Measures and prints the difference.
pub fn measure(python: &Interpreter) {
    println!(
        "  {:<30}{:>14}{:>14}{:>10}",
        "forking", "without", "with", "times"
    );
    for (name, what, count, goal) in SUBJECTS {
        let mut took: [Vec<f64>; 2] = Default::default();
        let mut ratios = Vec::new();
        for _ in 0..ROUNDS {
            let pair = [false, true].map(|agent| once(python, what, count, agent));
            ratios.push(pair[1] / pair[0]);
            for (took, one) in took.iter_mut().zip(pair) {
                took.push(one);
            }
        }
        let [without, with] = took.map(median);
        let ratio = median(ratios);
        println!("  {name:<30}{without:>11.0} us{with:>11.0} us{ratio:>10.2}");
        if let Some(most) = goal {
            println!(
                "  goal: at most {most:.2} times: {}",
                verdict(ratio <= most)
            );
        }
    }
}

/// The median of one run, in microseconds.
fn once(python: &Interpreter, what: &[&str], count: usize, agent: bool) -> f64 {
    let mut command = match agent {
        true => target(python, "fork_costs.py"),
        false => bare_target(python, "fork_costs.py"),
    };
    let ended = run(command.arg(what[0]).arg(count.to_string()).args(&what[1..]));
    ended.expect_code(0);
    let out = ended.out();
    median(out.lines().map(|line| line.parse().expect("a number")))
}
