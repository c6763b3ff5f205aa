//! Takes everything down natively, from beginning to end: the stacks, for either kind of answer; and for the
//! state, which the commands make the formats `full` and `json` of, the rest.
//!
//! On the worker, under the GIL, where the boot has found objects laid out as `cpython/layout` has them.
//! Nobody else runs while it is taken down; the result holds copies. What matters most comes first, as there is
//! a budget of time ([`hold`]): each part may go on until its own share of it is used up.

use std::collections::TryReserveError;
use std::ffi::c_long;

use crate::agent::failure::Failure;
use crate::agent::{hold, panics};
use crate::collect::collected::{Collected, Rest, State};
use crate::collect::document::Sources;
use crate::collect::places::Places;
use crate::collect::stacks::{Limit, Names, Origin, Stacks, Thread};
use crate::collect::thread_details::{self, Details};
use crate::collect::variables;
use crate::collect::{current_frames, process_locks, snippet};
use crate::cpython::copies::Copies;
use crate::cpython::gil::{Access, Gil};
use crate::cpython::object::{Frame, Object, Owned};
use crate::files::native_stacks;
use crate::files::sources::{self, Lines, SearchPath};
use crate::inspect::objects::Objects;
use crate::script::raised::raised;
use crate::script::undisturbed;
use crate::suspended::greenlets::Suspended;
use crate::system::futex::Instant;
use crate::system::memory_budget;
use protocol::marshal::MarshalWriter;
use protocol::question::Question;
use protocol::state::CutPart;

/// The part of the time, in thousandths, that is used up when the stacks of threads have to be there, and when
/// the details have to.
const STACKS_UNTIL: u64 = 600;
const DETAILS_UNTIL: u64 = 750;

/// Thousandths of what is left then, for the variables of threads where greenlets come after; and of what is
/// left after that, for finding greenlets and generators, where their variables come after and where they do
/// not. The rest is for their stacks and variables.
const VARIABLES_SHARE: u64 = 600;
const SEARCH_SHARE: u64 = 600;
const SEARCH_SHARE_ALONE: u64 = 800;

/// How many frames are taken down of all stacks together, however late it is, and how many of one.
const LEAST_FRAMES: usize = 100_000;
const LEAST_OF_ONE: std::ops::RangeInclusive<usize> = 8..=1000;

/// Takes it down; returns also what linecache needs of the modules that have loaders, a list in the order
/// of [`Place::loader`](crate::collect::places::Place::loader), if there are any.
pub fn collect<'gil>(
    gil: &mut Gil<'gil>,
    question: &Question,
) -> Result<(Collected, Option<Owned<'gil>>), Failure> {
    if question.state && !undisturbed::can_stop_collector(gil) {
        return Err(Failure::NoCollector);
    }
    let wants_suspended = question.state && question.greenlets;
    undisturbed::alone(gil, |gil| {
        if question.state {
            thread_details::find_local(gil);
        }
        hold::part(STACKS_UNTIL);
        let frames = current_frames::all(gil).ok_or_else(|| raised(gil))?;
        let whole = !hold::is_over();
        let result = take(gil, question, (frames.object(), whole));
        let (mut collected, mut origins) = result.map_err(|failure| or_raised(gil, failure))?;
        if wants_suspended {
            hold::share(match question.locals || question.globals {
                true => SEARCH_SHARE,
                false => SEARCH_SHARE_ALONE,
            });
            let suspended = Suspended::find(gil, frames.object())?;
            let more = take_suspended(gil, question, suspended, &mut collected);
            origins.extend(more.map_err(|failure| or_raised(gil, failure))?);
        }
        // No object of the program's is looked at any more, as to make these may set the collector off.
        let list = list_of(gil, origins).ok_or_else(|| raised(gil))?;
        collected.keeps = list.is_some();
        Ok((collected, list))
    })
}

/// The failure where [`Failure::Raised`] stands for the exception that is set.
fn or_raised(gil: &mut Gil, failure: Failure) -> Failure {
    match failure {
        Failure::Raised => raised(gil),
        failure => failure,
    }
}

type Taken<'gil> = (Collected, Vec<Origin<'gil>>);

/// Takes down the threads whose innermost frames are in this dictionary, and whether those are all. Where a function here fails with
/// [`Failure::Raised`] an exception is set.
fn take<'gil>(
    gil: &Gil<'gil>,
    question: &Question,
    (frames, whole): (Object, bool),
) -> Result<Taken<'gil>, Failure> {
    let objects = Objects::known(gil).ok_or(Failure::NoModules)?;
    let innermost = list(objects, frames)?;
    if !memory_budget::has_memory_for(innermost.len()) {
        return Err(Failure::NoMemory);
    }
    let names = Names::new(gil).ok_or(Failure::Raised)?;
    let stacks = Stacks::new(Some(gil), objects.fields(), &names);
    take_from(stacks, objects, question, (&innermost, whole))
}

/// Takes down the threads with these innermost frames, and whether those are all, without the GIL.
pub fn take_copied<'g>(
    objects: Objects<'g>,
    question: &Question,
    innermost: (&[(i64, Frame<'g>)], bool),
) -> Result<Collected, Failure> {
    hold::part(STACKS_UNTIL);
    let names = Names::of(objects.fields()).ok_or(Failure::NoMemory)?;
    let stacks = Stacks::new(None, objects.fields(), &names);
    match take_from(stacks, objects, question, innermost) {
        Ok((collected, _)) => Ok(collected),
        Err(Failure::Raised) => Err(Failure::NoMemory),
        Err(failure) => Err(failure),
    }
}

fn take_from<'g, 'gil>(
    mut stacks: Stacks<'g, 'gil>,
    objects: Objects<'g>,
    question: &Question,
    (innermost, whole): (&[(i64, Frame<'g>)], bool),
) -> Result<Taken<'gil>, Failure> {
    let mut cut = Vec::new();
    if !whole || hold::is_over() {
        add(&mut cut, CutPart::Threads)?;
    }
    panics::may_come("working");
    let threads = take_stacks(&mut stacks, innermost)?;
    if threads.iter().any(|thread| thread.stack.is_cut) {
        add(&mut cut, CutPart::Stacks)?;
    }
    let mut idents = Vec::new();
    let mut native = native_stacks::Wanted::default();
    let mut rest = Rest::Plain;
    if question.state {
        enough(idents.try_reserve_exact(threads.len()))?;
        idents.extend(threads.iter().map(|thread| thread.ident as usize));
        hold::part(DETAILS_UNTIL);
        let copies = Copies::default();
        let access = Access::to_copies(objects.fields().python(), &copies);
        let copied = match objects.fields().gil() {
            Some(_) => Objects::of(&access).ok_or(Failure::NoModules)?,
            None => objects,
        };
        let details = Details::of((objects, copied), &threads, &stacks.lock_frames);
        native = native_stacks::Wanted {
            some: true,
            all: question.native,
            explained: details
                .as_ref()
                .and_then(Details::waiting)
                .unwrap_or_default(),
            keeps_gil: 0,
        };
        let details = details.and_then(|details| details.write());
        let process_locks = process_locks::take(objects).ok_or(Failure::NoMemory)?;
        let mut state = State {
            process_locks,
            version: version(objects).ok_or(Failure::NoMemory)?,
            details: details.ok_or(Failure::NoMemory)?,
            cut,
            ..State::default()
        };
        if hold::is_over() {
            add(&mut state.cut, CutPart::Waits)?;
        }
        if question.locals || question.globals {
            match question.greenlets {
                true => hold::share(VARIABLES_SHARE),
                false => hold::part(1000),
            }
            let variables = &mut state.variables;
            variables::take(objects, question, &threads, variables).ok_or(Failure::Raised)?;
            if !state.variables.late.is_empty() {
                add(&mut state.cut, CutPart::Variables)?;
            }
        }
        rest = Rest::State(Box::new(state));
    }
    let path = search_path(objects);
    let numbers = numbers(&threads, 0)?;
    let (stacks, places, origins) = stacks.finish().ok_or(Failure::Raised)?;
    let collected = Collected {
        places,
        path,
        idents,
        native,
        question: question.number(),
        keeps: false,
        stacks,
        threads: numbers,
        rest,
        from_memory: None,
    };
    Ok((collected, origins))
}

/// Adds greenlets and generators to what was taken down of threads.
fn take_suspended<'gil>(
    gil: &Gil<'gil>,
    question: &Question,
    suspended: Suspended,
    collected: &mut Collected,
) -> Result<Vec<Origin<'gil>>, Failure> {
    let objects = Objects::known(gil).ok_or(Failure::NoModules)?;
    let Rest::State(state) = &mut collected.rest else {
        return Ok(Vec::new());
    };
    let mut is_cut = suspended.is_cut;
    hold::part(1000);
    let innermost = list(objects, suspended.frames.object())?;
    let names = Names::new(gil).ok_or(Failure::Raised)?;
    let mut stacks = Stacks::new(Some(gil), objects.fields(), &names);
    let threads = take_stacks(&mut stacks, &innermost)?;
    is_cut |= threads.iter().any(|one| one.stack.is_cut) || threads.len() < innermost.len();
    if question.locals || question.globals {
        let variables = &mut state.variables;
        let were_late = !variables.late.is_empty();
        variables::take(objects, question, &threads, variables).ok_or(Failure::Raised)?;
        if !variables.late.is_empty() && !were_late {
            add(&mut state.cut, CutPart::Variables)?;
        }
    }
    if is_cut {
        add(&mut state.cut, CutPart::Suspended)?;
    }
    state.suspended = Some(suspended.details);
    let (more, places, origins) = {
        let numbers = numbers(&threads, collected.stacks.len())?;
        enough(collected.threads.try_reserve(numbers.len()))?;
        collected.threads.extend(numbers);
        stacks.finish().ok_or(Failure::Raised)?
    };
    let first = collected.places.len() as u32;
    enough(collected.stacks.try_reserve(more.len()))?;
    collected.stacks.extend(more.into_iter().map(|mut calls| {
        let is_place = |&&mut call: &&mut u32| call != crate::collect::stacks::CUT;
        calls
            .iter_mut()
            .filter(is_place)
            .for_each(|call| *call += first);
        calls
    }));
    collected.places.append(places).ok_or(Failure::NoMemory)?;
    Ok(origins)
}

/// Takes down the stacks of all these threads; the agent's own are left out. Each may take an equal share of the
/// time that is left; those that need more get what is left in the end.
fn take_stacks<'a>(
    stacks: &mut Stacks<'a, '_>,
    innermost: &[(i64, Frame<'a>)],
) -> Result<Vec<Thread<'a>>, Failure> {
    let mut threads: Vec<Thread> = Vec::new();
    enough(threads.try_reserve_exact(innermost.len()))?;
    let least = LEAST_FRAMES / innermost.len().max(1);
    let least = least.clamp(*LEAST_OF_ONE.start(), *LEAST_OF_ONE.end());
    let limit = |stacks_left: usize| {
        let now = Instant::now();
        let left = hold::end().0.saturating_sub(now.0);
        let until = now.after(left / stacks_left.max(1) as u64);
        Limit { least, until }
    };
    for (index, &(ident, innermost_frame)) in innermost.iter().enumerate() {
        let limit = limit(innermost.len() - index);
        let stack = stacks.add(innermost_frame, limit).ok_or(Failure::Raised)?;
        threads.extend(stack.map(|stack| Thread {
            ident,
            innermost: innermost_frame,
            stack,
        }));
    }
    let mut deep = threads.iter().filter(|thread| thread.stack.is_cut).count();
    for thread in threads.iter_mut().filter(|thread| thread.stack.is_cut) {
        if !hold::look() {
            break;
        }
        let stack = stacks.add(thread.innermost, limit(deep));
        if let Some(stack) = stack.ok_or(Failure::Raised)? {
            thread.stack = stack;
        }
        deep -= 1;
    }
    Ok(threads)
}

/// The identifier of each of these, and the index of its stack, counted from `first`.
fn numbers(threads: &[Thread], first: usize) -> Result<Vec<(i64, usize)>, Failure> {
    let mut numbers = Vec::new();
    enough(numbers.try_reserve_exact(threads.len()))?;
    let each = threads.iter();
    numbers.extend(each.map(|thread| (thread.ident, thread.stack.index + first)));
    Ok(numbers)
}

fn add(cut: &mut Vec<CutPart>, part: CutPart) -> Result<(), Failure> {
    enough(cut.try_reserve(1))?;
    cut.push(part);
    Ok(())
}

/// `sys.version`, as it stands in the document; `None` if there is no memory.
fn version(objects: Objects) -> Option<Vec<u8>> {
    let mut words = MarshalWriter::default();
    objects.write_text(objects.of_sys(c"version"), &mut words);
    words.finish()
}

/// The identifiers and innermost frames in a dictionary such as `sys._current_frames()` returns, sorted.
fn list<'g>(objects: Objects<'g>, frames: Object<'g>) -> Result<Vec<(i64, Frame<'g>)>, Failure> {
    let mut list = Vec::new();
    let whole = current_frames::for_each(objects.fields(), frames, &mut |ident, frame| {
        if list.try_reserve(1).is_err() {
            return objects.no_memory::<()>().is_some();
        }
        list.push((objects.number(ident), frame));
        true
    });
    whole.then_some(()).ok_or(Failure::Raised)?;
    list.sort_unstable_by_key(|&(ident, _)| ident);
    Ok(list)
}

/// A list of what linecache looks at; `Some(None)` if there is nothing. `None`, with an exception set, if there
/// is no memory.
fn list_of<'gil>(gil: &Gil<'gil>, origins: Vec<Origin<'gil>>) -> Option<Option<Owned<'gil>>> {
    if origins.is_empty() {
        return Some(None);
    }
    let (list, names) = (gil.new_list()?, Names::new(gil)?);
    for origin in &origins {
        let origin = names.origin(gil, origin)?;
        gil.append(list.object(), origin.object())?;
    }
    Some(Some(list))
}

/// Where files are looked for: a copy of what is text in `sys.path`.
fn search_path(objects: Objects) -> SearchPath {
    let mut path = SearchPath::new(objects.is_2_6);
    let folders = objects.of_sys(c"path");
    let folders = folders.filter(|&folders| objects.is(folders, objects.PyList_Type));
    for folder in folders
        .into_iter()
        .flat_map(|list| objects.list_items(list))
        .take_while(|_| hold::spend(20))
    {
        let folder = objects.text(folder);
        if let Some(folder) = folder.filter(|folder| folder.len() < libc::PATH_MAX as usize) {
            path.add(folder);
        }
    }
    path
}

/// Has linecache find the lines of source that were not found in files, for as long as `is_wanted`; each is cut
/// to so many characters. `origins` is what [`collect`] returned.
///
/// linecache may ask a module's loader, which is the program's code. Others run meanwhile, as they do while any
/// Python code runs.
pub fn missing<'gil>(
    gil: &mut Gil<'gil>,
    places: &Places,
    origins: Option<Owned<'gil>>,
    (lines, longest): (&Lines, usize),
    is_wanted: &dyn Fn() -> bool,
) -> Result<Sources, Failure> {
    let mut found = Vec::new();
    enough(found.try_reserve_exact(places.len()))?;
    found.resize(places.len(), false);
    lines.iter().for_each(|(index, _)| found[index] = true);
    let mut wanted = places.wanted();
    wanted.retain(|place| !found[place.index]);
    let mut sources = Sources::default();
    enough(sources.try_reserve(wanted.len()))?;
    let origins = origins.as_ref();
    for wanted in wanted.chunk_by(|one, other| one.file == other.file) {
        if !is_wanted() {
            break;
        }
        let described = undisturbed::alone(gil, |gil| described(gil, places, wanted, origins));
        let described = described.ok_or_else(|| raised(gil))?;
        let list = snippet::read(gil, described)?;
        let objects = Objects::known(gil).ok_or(Failure::NoModules)?;
        for (place, line) in wanted.iter().zip(objects.list_items(list.object())) {
            let line = objects.utf_8(line, longest).ok_or(Failure::NoMemory)?;
            sources.insert(place.index, line);
        }
    }
    Ok(sources)
}

/// These places as the snippet takes them: a list of (file name, function, line, what linecache needs), and
/// the list of their indices. `None`, with an exception set, if there is no memory.
fn described<'gil>(
    gil: &Gil<'gil>,
    places: &Places,
    wanted: &[sources::Place],
    origins: Option<&Owned<'gil>>,
) -> Option<[Owned<'gil>; 2]> {
    let (list, order) = (gil.new_list()?, gil.new_list()?);
    for (number, wanted) in wanted.iter().enumerate() {
        let place = places.at(wanted.index);
        let origin = origins.map(Owned::object).zip(place.loader);
        let origin = origin.and_then(|(origins, number)| gil.list_item(origins, number));
        let tuple = gil.new_tuple([
            gil.new_str(places.file(place)),
            gil.new_str(places.function(place)),
            gil.new_int(place.line),
            Some(gil.own(origin.unwrap_or(gil.none()))),
        ])?;
        gil.append(list.object(), tuple.object())?;
        gil.append(order.object(), gil.new_int(number as c_long)?.object())?;
    }
    Some([list, order])
}

/// Whether there was enough memory.
fn enough(reserved: Result<(), TryReserveError>) -> Result<(), Failure> {
    reserved.map_err(|_| Failure::NoMemory)
}
