//! The snippet's `_stacks`, done by the library.
//!
//! The snippet's own does the same in Python, where frames are laid out in a way that is not known, or
//! the garbage collector cannot be stopped.

use crate::agent::panics;
use crate::collect::stacks::{Names, Stacks};
use crate::cpython::api::Methods;
use crate::cpython::callback::method;
use crate::cpython::fields::Fields;
use crate::cpython::gil::Gil;
use crate::cpython::glue::List;
use crate::cpython::object::{Object, Owned};
use crate::script::undisturbed;
use crate::system::memory_budget;

static METHODS: Methods<1> = Methods([method!(c"_stacks", stacks)]);

/// The function to use in place of the snippet's, or Python's `None`; `None`, with an exception set, if there
/// is no memory.
pub fn function<'gil>(gil: &mut Gil<'gil>) -> Option<Owned<'gil>> {
    // If a finalizer ran, it might let others run, and frames go.
    match Fields::known(gil).is_some() && undisturbed::can_stop_collector(gil) {
        true => gil.new_function(&METHODS.0[0]),
        false => Some(gil.own(gil.none())),
    }
}

/// `_stacks(frames)`, called by the snippet: see there.
fn stacks<'gil>(gil: &mut Gil<'gil>, frames: Object<'gil>) -> Option<Owned<'gil>> {
    let gil = &*gil;
    if !memory_budget::has_memory_for(gil.dict_size(frames)) {
        return gil.no_memory();
    }
    panics::may_come("working");
    let fields = Fields::known(gil)?;
    let names = Names::new(gil)?;
    let mut stacks = Stacks::new(fields, &names);
    let mut threads: Vec<(Object, usize)> = Vec::new();
    let whole = fields.for_each_stack(frames, &mut |ident, innermost| {
        let Some(stack) = stacks.add(innermost) else {
            return false;
        };
        if threads.try_reserve(1).is_err() {
            return gil.no_memory::<()>().is_some();
        }
        // The agent's own are left out.
        threads.extend(stack.map(|stack| (ident, stack.index)));
        true
    });
    if !whole {
        return None;
    }
    let calls = calls(gil, &stacks)?;
    let mut list = List::new(gil);
    for (ident, stack) in threads {
        list.push([ident, calls[stack].object()]);
    }
    let places = places(gil, fields, &stacks, &names);
    gil.new_tuple([list.finish(), places])
}

/// A list of (file name, function, line, what linecache needs of its globals).
fn places<'gil>(
    gil: &Gil<'gil>,
    fields: Fields,
    stacks: &Stacks,
    names: &Names<'gil>,
) -> Option<Owned<'gil>> {
    // A `str`, or a copy of one that is of a derived class.
    let plain = |text| match fields.is_str(text) {
        true => Some(gil.own(text)),
        false => gil.new_str(gil.bytes(text)?),
    };
    let list = gil.new_list()?;
    for place in &stacks.places {
        let [file, function] = fields.names(place.code).map(plain);
        let origin = names.origin(gil, fields, place).ok()?;
        let origin = origin.unwrap_or_else(|| gil.own(gil.none()));
        let tuple = gil.new_tuple([file, function, gil.new_int(place.line), Some(origin)])?;
        gil.append(list.object(), tuple.object())?;
    }
    Some(list)
}

/// Of each stack a list of the indices of places, outermost first.
fn calls<'gil>(gil: &Gil<'gil>, stacks: &Stacks) -> Option<Vec<Owned<'gil>>> {
    let each = stacks.each()?;
    let mut numbers = Vec::new();
    let mut lists = Vec::new();
    let places = stacks.places.len();
    if numbers.try_reserve_exact(places).is_err() || lists.try_reserve_exact(each.len()).is_err() {
        return gil.no_memory();
    }
    for index in 0..places {
        numbers.push(gil.new_int(index as i64)?);
    }
    for calls in each {
        let outermost_first = calls.iter().rev();
        let numbers = outermost_first.map(|&index| gil.own(numbers[index].object()));
        lists.push(gil.new_list_of(numbers)?);
    }
    Some(lists)
}
