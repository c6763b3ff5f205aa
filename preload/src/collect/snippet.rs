//! The snippet, `py-shim/sleeper_agent.py`: carried in the library and run under the GIL. It asks linecache for
//! lines of source; and where objects are laid out in an unknown way, it makes the plain state.

use std::ffi::c_long;

use crate::agent::failure::Failure;
use crate::collect::collected::Collected;
use crate::collect::current_frames;
use crate::collect::places::Places;
use crate::cpython::gil::Gil;
use crate::cpython::object::{Kept, Object, Owned};
use crate::cpython::thread_states;
use crate::files::sources::{Lines, SearchPath};
use crate::script::raised::raised;
use crate::script::{compile, undisturbed};
use protocol::question::Question;

/// The text of the shim, NUL-terminated.
const TEXT: &str = concat!(include_str!("../../../py-shim/sleeper_agent.py"), "\0");

/// The snippet's functions, once it has been compiled.
static COLLECT: Kept = Kept::nothing();
static READ: Kept = Kept::nothing();
static COMPOSE: Kept = Kept::nothing();

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    for function in [&COLLECT, &READ, &COMPOSE] {
        function.forget();
    }
}

/// Compiles the snippet, once; returns whether it has now.
pub fn prepare(gil: &mut Gil) -> Result<bool, Failure> {
    if !COLLECT.is_empty() {
        return Ok(false);
    }
    let functions = [
        (c"_read", &READ),
        (c"_compose", &COMPOSE),
        (c"_collect", &COLLECT),
    ];
    undisturbed::alone(gil, |gil| {
        compile::compile(
            gil,
            (TEXT, c"sleeper_agent.py"),
            &[c"sys", c"linecache"],
            |_, _| Ok(()),
            &functions,
        )
    })?;
    Ok(true)
}

/// Takes down where every thread is, for the plain state, where that cannot be done natively; returns also what the snippet made, which
/// [`compose`] needs.
pub fn collect<'gil>(
    gil: &mut Gil<'gil>,
    question: &Question,
) -> Result<(Collected, Option<Owned<'gil>>), Failure> {
    let made = undisturbed::alone(gil, |gil| {
        let frames = match thread_states::has_dead() {
            true => current_frames::live(gil),
            false => Some(gil.own(gil.none())),
        };
        gil.call(&COLLECT, [frames])
    });
    let made = made.ok_or_else(|| raised(gil))?;
    let collected = Collected {
        places: places(gil, made.object()),
        path: search_path(gil, made.object()),
        question: question.number(),
        keeps: true,
        ..Collected::default()
    };
    gil.clear_exception();
    Ok((collected, Some(made)))
}

/// The places, as many as there is memory for. `made` is what the snippet made.
fn places(gil: &Gil, made: Object) -> Places {
    let mut places = Places::default();
    for place in gil
        .tuple_item(made, 1)
        .into_iter()
        .flat_map(|list| gil.list_items(list))
    {
        let mut add = || {
            let [file, line, origin] = [0, 2, 3].map(|part| gil.tuple_item(place, part));
            let (file, line) = (file?, line?);
            // SAFETY: the object is alive; it is an `int`.
            let line = unsafe { (gil.PyInt_AsLong)(line.as_ptr()) };
            let has_loader = origin? != gil.none();
            // Its function is for the snippet itself.
            let names = [(file.address(), gil.bytes(file)?), (0, &b""[..])];
            places.add(names, line, has_loader)
        };
        if add().is_none() {
            break;
        }
    }
    places
}

/// A copy of what was taken down of `sys.path`.
fn search_path(gil: &Gil, made: Object) -> SearchPath {
    let mut path = SearchPath::new(gil.is_2_6);
    for folder in gil
        .tuple_item(made, 3)
        .into_iter()
        .flat_map(|list| gil.list_items(list))
    {
        if let Some(folder) = gil.bytes(folder) {
            path.add(folder);
        }
    }
    path
}

/// Finds the lines of source that are missing, and returns the text of the plain state. `made` is what the
/// snippet made in [`collect`], with so many places.
pub fn compose<'gil>(
    gil: &mut Gil<'gil>,
    made: Option<Owned<'gil>>,
    count: usize,
    lines: &Lines,
) -> Result<Owned<'gil>, Failure> {
    let made = made.ok_or(Failure::NoModules)?;
    let part = |gil: &Gil<'gil>, index| {
        let part = gil.tuple_item(made.object(), index);
        part.map(|part| gil.own(part))
    };
    let known = undisturbed::alone(gil, |gil| dictionary(gil, lines));
    let known = known.ok_or_else(|| raised(gil))?;
    let arguments = [part(gil, 1), part(gil, 2), Some(known)];
    let sources = if count > 0 && lines.iter().count() == count {
        undisturbed::alone(gil, |gil| gil.call(&READ, arguments))
    } else {
        // It asks linecache, which does input and output.
        undisturbed::keeping_exc_info(gil, |gil| gil.call(&READ, arguments))
    };
    let sources = sources.ok_or_else(|| raised(gil))?;
    let arguments = [part(gil, 0), part(gil, 1), Some(sources)];
    let text = undisturbed::alone(gil, |gil| gil.call(&COMPOSE, arguments));
    text.ok_or_else(|| raised(gil))
}

/// Asks linecache for the lines of these places, two lists as `_read` takes them; returns a list of them.
pub fn read<'gil>(
    gil: &mut Gil<'gil>,
    [places, order]: [Owned<'gil>; 2],
) -> Result<Owned<'gil>, Failure> {
    let lines =
        undisturbed::keeping_exc_info(gil, |gil| gil.call(&READ, [Some(places), Some(order)]));
    lines.ok_or_else(|| raised(gil))
}

/// The lines that were found, by their places' numbers; `None`, with an exception set, if there is
/// no memory.
fn dictionary<'gil>(gil: &Gil<'gil>, lines: &Lines) -> Option<Owned<'gil>> {
    let known = gil.new_dict()?;
    for (index, line) in lines.iter() {
        let (index, line) = (gil.new_int(index as c_long)?, gil.new_str(line)?);
        gil.set_item(known.object(), index.object(), line.object())?;
    }
    Some(known)
}
