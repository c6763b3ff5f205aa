//! The state that the commands make the formats `full` and `json` of, taken down natively from beginning to
//! end.
//!
//! On the worker, under the GIL, where the boot has found objects laid out as `cpython/layout` has them.
//! Nobody else runs while it is taken down; the result holds copies.

use std::collections::TryReserveError;
use std::ffi::c_long;

use crate::agent::failure::Failure;
use crate::agent::panics;
use crate::collect::collected::{Collected, State};
use crate::collect::document::{self, Sources};
use crate::collect::places::Places;
use crate::collect::stacks::{Names, Stacks, Thread};
use crate::collect::thread_details::{self, Details};
use crate::collect::variables::{self, Variables};
use crate::collect::{current_frames, snippet};
use crate::cpython::gil::Gil;
use crate::cpython::object::{Frame, Object, Owned};
use crate::files::sources::{self, Lines, SearchPath};
use crate::inspect::objects::Objects;
use crate::script::raised::raised;
use crate::script::undisturbed;
use crate::suspended::greenlets::{self, Suspended};
use crate::system::memory_budget;
use protocol::marshal::MarshalWriter;
use protocol::question::Question;

/// Takes it down; returns also what linecache needs of the modules that have loaders, a list in the order
/// of [`Place::loader`](crate::collect::places::Place::loader), if there are any.
pub fn collect<'gil>(
    gil: &mut Gil<'gil>,
    question: &Question,
) -> Result<(Collected, Option<Owned<'gil>>), Failure> {
    if !undisturbed::can_stop_collector(gil) {
        return Err(Failure::NoCollector);
    }
    if question.greenlets {
        greenlets::prepare(gil)?;
    }
    undisturbed::alone(gil, |gil| {
        thread_details::find_local(gil);
        let frames = current_frames::all(gil).ok_or_else(|| raised(gil))?;
        let suspended = match question.greenlets {
            true => Some(Suspended::find(gil, frames.object())?),
            false => None,
        };
        let result = take(gil, question, frames.object(), suspended.as_ref());
        result.map_err(|failure| or_raised(gil, failure))
    })
}

/// The failure where [`Failure::Raised`] stands for the exception that is set.
fn or_raised(gil: &mut Gil, failure: Failure) -> Failure {
    match failure {
        Failure::Raised => raised(gil),
        failure => failure,
    }
}

/// Takes it down, of the threads whose innermost frames are in this dictionary. Where a function here fails
/// with [`Failure::Raised`] an exception is set.
fn take<'gil>(
    gil: &Gil<'gil>,
    question: &Question,
    frames: Object,
    suspended: Option<&Suspended>,
) -> Result<(Collected, Option<Owned<'gil>>), Failure> {
    let objects = Objects::known(gil).ok_or(Failure::NoModules)?;
    let mut innermost = Vec::new();
    list(objects, frames, &mut innermost)?;
    if !memory_budget::has_memory_for(innermost.len()) {
        return Err(Failure::NoMemory);
    }
    panics::may_come("working");
    if let Some(suspended) = suspended {
        // Memory for these was made sure of when they were found.
        list(objects, suspended.frames.object(), &mut innermost)?;
    }
    innermost.sort_unstable_by_key(|&(ident, _)| ident);
    let names = Names::new(gil).ok_or(Failure::Raised)?;
    let mut stacks = Stacks::new(objects.fields(), &names);
    let mut threads: Vec<Thread> = Vec::new();
    enough(threads.try_reserve_exact(innermost.len()))?;
    for (ident, innermost) in innermost {
        let stack = stacks.add(innermost).ok_or(Failure::Raised)?;
        // The agent's own are left out.
        threads.extend(stack.map(|stack| Thread {
            ident,
            innermost,
            stack,
        }));
    }
    // Numbers below zero are no threads.
    let first = threads.partition_point(|thread| thread.ident <= 0);
    let mut idents = Vec::new();
    enough(idents.try_reserve_exact(threads.len() - first))?;
    idents.extend(threads[first..].iter().map(|thread| thread.ident as usize));
    let document = match threads.is_empty() {
        true => None,
        false => Some(begin(objects, &stacks, (&threads, first), suspended)?),
    };
    let (places, origins) = places(gil, objects, &stacks, &names)?;
    let variables = match question.locals || question.globals {
        true => variables::take(objects, question, &threads).ok_or(Failure::Raised)?,
        false => Variables::default(),
    };
    let collected = Collected {
        places,
        path: search_path(objects),
        idents,
        question: question.number(),
        keeps: origins.is_some(),
        state: Some(State {
            document,
            variables,
        }),
    };
    Ok((collected, origins))
}

/// What of the document is known while the threads stand still. From the index `first` on they are threads.
fn begin<'g>(
    objects: Objects<'g>,
    stacks: &Stacks<'g>,
    (threads, first): (&[Thread<'g>], usize),
    suspended: Option<&Suspended>,
) -> Result<MarshalWriter, Failure> {
    let details = Details::of(objects, &threads[first..], &stacks.lock_frames);
    let details = details.and_then(|details| details.write());
    let details = details.ok_or(Failure::NoMemory)?;
    let suspended = suspended.map(|suspended| &suspended.details[..]);
    document::begin(objects, stacks, threads, (&details, suspended)).ok_or(Failure::Raised)
}

/// Adds to a list the identifiers and innermost frames in a dictionary such as `sys._current_frames()` returns.
fn list<'g>(
    objects: Objects<'g>,
    frames: Object<'g>,
    list: &mut Vec<(i64, Frame<'g>)>,
) -> Result<(), Failure> {
    let whole = objects.for_each_stack(frames, &mut |ident, frame| {
        if list.try_reserve(1).is_err() {
            return objects.no_memory::<()>().is_some();
        }
        list.push((objects.number(ident), frame));
        true
    });
    whole.then_some(()).ok_or(Failure::Raised)
}

/// Copies the places; and lists what linecache needs of the modules that have loaders, if there are any.
fn places<'gil>(
    gil: &Gil<'gil>,
    objects: Objects,
    stacks: &Stacks,
    names: &Names<'gil>,
) -> Result<(Places, Option<Owned<'gil>>), Failure> {
    let mut places = Places::default();
    let mut origins = None;
    for place in &stacks.places {
        let of_code = objects.names(place.code);
        let of_code = of_code.map(|name| (name.address(), gil.bytes(name).unwrap_or_default()));
        let origin = names.origin(gil, objects.fields(), place);
        let origin = origin.map_err(|()| Failure::Raised)?;
        if let Some(origin) = &origin {
            let list = match origins.take() {
                Some(list) => list,
                None => gil.new_list().ok_or(Failure::Raised)?,
            };
            let appended = gil.append(list.object(), origin.object());
            origins = Some(list);
            appended.ok_or(Failure::Raised)?;
        }
        let added = places.add(of_code, place.line, origin.is_some());
        added.ok_or(Failure::NoMemory)?;
    }
    Ok((places, origins))
}

/// Where files are looked for: a copy of what is text in `sys.path`.
fn search_path(objects: Objects) -> SearchPath {
    let mut path = SearchPath::new(objects.is_2_6);
    let folders = objects.gil().of_sys(c"path");
    let folders = folders.filter(|&folders| objects.is(folders, objects.PyList_Type));
    for folder in folders
        .into_iter()
        .flat_map(|list| objects.gil().list_items(list))
    {
        if let Some(folder) = objects.text(folder) {
            path.add(folder);
        }
    }
    // There may have been no memory for the name.
    objects.clear_exception();
    path
}

/// Has linecache find the lines of source that were not found in files. `origins` is what [`collect`] returned.
pub fn missing<'gil>(
    gil: &mut Gil<'gil>,
    places: &Places,
    origins: Option<Owned<'gil>>,
    lines: &Lines,
) -> Result<Sources, Failure> {
    let mut found = Vec::new();
    enough(found.try_reserve_exact(places.len()))?;
    found.resize(places.len(), false);
    lines.iter().for_each(|(index, _)| found[index] = true);
    let mut wanted = places.wanted();
    wanted.retain(|place| !found[place.index]);
    let mut sources = Sources::default();
    if wanted.is_empty() {
        return Ok(sources);
    }
    enough(sources.try_reserve(wanted.len()))?;
    let described = undisturbed::alone(gil, |gil| described(gil, places, &wanted, origins));
    let described = described.ok_or_else(|| raised(gil))?;
    let list = snippet::read(gil, described)?;
    let objects = Objects::known(gil).ok_or(Failure::NoModules)?;
    for (place, line) in wanted.iter().zip(objects.gil().list_items(list.object())) {
        let mut words = MarshalWriter::default();
        objects.write_text(line, &mut words);
        sources.insert(place.index, words.finish().ok_or(Failure::NoMemory)?);
    }
    Ok(sources)
}

/// These places as the snippet takes them: a list of (file name, function, line, what linecache needs), and
/// the list of their indices. `None`, with an exception set, if there is no memory.
fn described<'gil>(
    gil: &Gil<'gil>,
    places: &Places,
    wanted: &[sources::Place],
    origins: Option<Owned<'gil>>,
) -> Option<[Owned<'gil>; 2]> {
    let (list, order) = (gil.new_list()?, gil.new_list()?);
    for (number, wanted) in wanted.iter().enumerate() {
        let place = places.at(wanted.index);
        let origins = origins.as_ref().map(Owned::object);
        let origin = origins.zip(place.loader);
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
