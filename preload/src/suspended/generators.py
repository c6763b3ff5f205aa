# Suspended generators that Tornado or Twisted drives. Compiled as one text with
# greenlets.py, behind it, and under the same rules.
#
# A generator's driver is, with Tornado (4 and 5), a Runner, which has the future
# that the generator waits for and the future that its result fulfils; with Twisted,
# a function `gotResult` within `_inlineCallbacks`, which has the Deferred of the
# result in a cell, and is itself a callback of the Deferred that is waited for.

_TORNADO, _TWISTED = 'tornado.gen', 'twisted.internet.defer'

# The most drivers of a library that are looked at, and the most objects of each
# kind that is waited for.
_MOST_DRIVERS = 20000

# The most frames in all chains together: a generator that many others wait for
# stands in the chain of each of them.
_MOST_FRAMES = 200000

# The time by which each part has to be done, in thousandths, as in greenlets.py.
_SEARCHED_UNTIL = 450
_DEFERREDS_UNTIL, _DRIVERS_UNTIL, _LINKS_UNTIL = 520, 640, 790
_HOLDERS_UNTIL, _CHAINS_UNTIL = 850, 1000

# How many futures away from a generator's result the search for its waiters goes,
# where nobody waits for the result itself (but, say, for it and others together).
_MOST_BETWEEN = 64


def _imported():
    """Return which of the two libraries the program has imported."""
    if type(sys.modules) is not dict:
        return []
    return [
        name for name in (_TORNADO, _TWISTED)
        if (_item(sys.modules, name) or (None,))[0] is not None]


def _find_generators(frames, stacks, time):
    """Add the frames of suspended generators to stacks, and return their details;
    {} where neither library has been imported, and None where they cannot be
    found."""
    if type(sys.modules) is not dict:
        return None
    imported = _imported()
    if not imported:
        return {}
    if not _has_collector():
        return None
    kinds = []
    for name in imported:
        if name == _TORNADO:
            kind = _runner()
        else:
            kind = _got_result()
        if kind is None:
            return None
        kinds.append(kind)
    # Twisted has written down what a generator waits for since 20.
    if _TWISTED in imported and 'status' not in kinds[-1].co_freevars:
        deferred = _module(_TWISTED).get('Deferred')
        if not _is_class_of(deferred, _TWISTED):
            return None
        kinds.append(deferred)
    holders = _holders(kinds)
    found = _instances(tuple(kinds), _MOST_DRIVERS, time.at(_SEARCHED_UNTIL))
    if found is None:
        return None
    found, left_out, searched = found
    if not searched:
        time.is_cut = True
    by_kind = [[] for _ in kinds]
    for thing, index in found:
        by_kind[index].append(thing)
    drivers = _Drivers(time)
    try:
        for index, name in enumerate(imported):
            drivers.left_out += left_out[index][0]
            if name == _TORNADO:
                drivers.add_runners(by_kind[index])
            else:
                deferreds, whole = [], searched
                if len(kinds) - len(holders) > len(imported):
                    deferreds = by_kind[len(imported)]
                    whole = searched and left_out[len(imported)][0] == 0
                drivers.add_functions(by_kind[index], deferreds, whole)
        drivers.link()
        drivers.add_holders(by_kind[len(kinds) - len(holders):], holders)
        return drivers.details(stacks)
    finally:
        drivers.let_go()


def _runner():
    """Return Tornado's own class Runner, or None."""
    kind = _module(_TORNADO).get('Runner')
    if _is_type(kind) and _is_of_package(kind, _TORNADO):
        return kind
    return None


def _got_result():
    """Return the code of the function within Twisted's that waits, or None."""
    return _nested(_TWISTED, '_inlineCallbacks', 'gotResult')


def _nested(module, outer, inner):
    """Return the code of a function that is defined within a module's one, or
    within a class's; or None."""
    held = _module(module)
    names = outer.split('.')
    for name in names[:-1]:
        held = _class_attributes(held.get(name))
    function = held.get(names[-1])
    if type(function) is type(_find):
        code = function.func_code
        for constant in code.co_consts:
            if type(constant) is type(code) and constant.co_name == inner:
                return constant
    return None


class _Driven(object):
    """A generator, and what its driver knows of it."""

    __slots__ = (
        'library', 'generator', 'frame', 'future', 'result', 'loop', 'inner',
        'is_inner', 'is_listed', 'is_looked_at')

    def __init__(self, library, generator, future, result, loop=None):
        self.library = library
        self.generator = generator
        # None while it runs: then its frame is in a thread's stack.
        self.frame = None
        self.future = future
        self.result = result
        self.loop = loop
        # The generators that it waits for, and whether another one waits for it.
        self.inner = []
        self.is_inner = self.is_listed = self.is_looked_at = False
        if not generator.gi_running:
            self.frame = generator.gi_frame


class _Drivers(object):
    """All driven generators, in the order found."""

    def __init__(self, time):
        self.in_time = time.within
        self.callbacks = _Callbacks()
        self.all = []
        self.known = {}
        self.left_out = 0
        # What holds the futures that are waited for, and the timers that end the
        # wait for them, by id of the future: see generator_waits.py.
        self.holders = {}
        self.limits = {}

    def add(self, driven):
        # A generator that has ended has no frame.
        generator = driven.generator
        if (driven.frame is not None or generator.gi_running) and (
                id(generator) not in self.known):
            self.known[id(generator)] = driven
            self.all.append(driven)

    def add_runners(self, runners):
        looked_at = 0
        for runner in self.in_time(runners, _DRIVERS_UNTIL):
            looked_at += 1
            held = _attributes(runner) or {}
            generator = held.get('gen')
            if type(generator) is _GENERATOR and held.get('finished') is False:
                self.add(_Driven(
                    'tornado', generator, held.get('future'),
                    held.get('result_future'), held.get('io_loop')))
        self.left_out += len(runners) - looked_at

    def add_functions(self, functions, deferreds, whole):
        waited = {}
        left = len(deferreds)
        wanted = dict.fromkeys([id(one) for one in functions])
        for deferred in self.in_time(deferreds, _DEFERREDS_UNTIL):
            left -= 1
            for function in _callbacks(deferred):
                # A pair: one for results, one for failures.
                if type(function) is tuple and len(function) == 2 and (
                        type(function[0]) is tuple and function[0]):
                    if id(function[0][0]) in wanted:
                        waited[id(function[0][0])] = deferred
        looked_at = 0
        unlinked = []
        for function in self.in_time(functions, _DRIVERS_UNTIL):
            looked_at += 1
            held = self.callbacks.enclosed(function)
            generator = held.get('g')
            if type(generator) is not _GENERATOR:
                continue
            status = _attributes(held.get('status')) or held
            future = status.get('waitingOn', waited.get(id(function)))
            driven = _Driven('twisted', generator, future, status.get('deferred'))
            # A function that drove the same generator before may still be there.
            if future is None:
                unlinked.append(driven)
            else:
                self.add(driven)
        for driven in unlinked:
            if whole and left == 0:
                self.add(driven)
            elif driven.frame is not None and id(driven.generator) not in self.known:
                # It may wait for a Deferred that was not looked at.
                self.left_out += 1
        self.left_out += len(functions) - looked_at

    def link(self):
        """Find out which generators wait for which others."""
        waiting = {}
        for one in self.all:
            if one.frame is not None and one.future is not None:
                waiting.setdefault(id(one.future), []).append(one)
        left = []
        for one in self.in_time(self.all, _LINKS_UNTIL):
            # Most results that are waited for are waited for directly.
            others = waiting.get(id(one.result), ())
            if others and one.result is not None:
                self.add_link(one, others)
            else:
                left.append(one)
        for one in self.in_time(left, _LINKS_UNTIL):
            one.is_looked_at = True
            if one.result is not None:
                for future in self.callbacks.led_to(one.result, waiting):
                    self.add_link(one, waiting[id(future)])

    def add_link(self, inner, others):
        inner.is_looked_at = True
        for other in others:
            if other is not inner:
                other.inner.append(inner)
                inner.is_inner = True

    def add_holders(self, things, holders):
        """Find out what the innermost generators wait for."""
        wanted = dict([
            (id(one.future), one.future) for one in self.all if not one.inner])
        for index, rows in enumerate(holders):
            for thing in self.in_time(things[index], _HOLDERS_UNTIL):
                _look_into(
                    thing, rows, wanted, self.callbacks, self.holders,
                    self.limits)

    def details(self, stacks):
        """Return the chains of generators, and add the frames that stand in them."""
        chains = []
        room = [_MOST_FRAMES]
        outermost = [
            one for one in self.all if not one.is_inner and one.is_looked_at]
        # And the generators of circles, none of which is the outermost.
        for one in self.in_time(outermost + self.all, _CHAINS_UNTIL):
            if one.frame is None or one.is_listed or not one.is_looked_at:
                continue
            for chain, wait in self.chains(one):
                room[0] -= len(chain)
                if room[0] < 0 or len(chains) >= _MOST_DRIVERS:
                    break
                for driven in chain:
                    if not driven.is_listed:
                        driven.is_listed = True
                        stacks[-id(driven.generator)] = driven.frame
                chains.append({
                    'library': one.library,
                    'name': _text(one.generator.gi_code.co_name),
                    'chain': [-id(driven.generator) for driven in chain],
                    'wait': wait})
            if room[0] < 0 or len(chains) >= _MOST_DRIVERS:
                break
        suspended = [one for one in self.all if one.frame is not None]
        count = len([one for one in suspended if one.is_listed])
        return {
            'count': count,
            'left_out': self.left_out + len(suspended) - count,
            'suspended': chains}

    def chains(self, outermost):
        """Yield (chain, wait) for each innermost generator that this one waits for:
        the generators from this one to that, and what that waits for."""
        path = [outermost]
        within = {id(outermost): True}
        left = [outermost.inner.__iter__()]
        if not outermost.inner:
            yield path, self.wait(outermost)
        while path:
            inner = None
            for inner in left[-1]:
                break
            else:
                left.pop()
                del within[id(path.pop())]
                continue
            if inner.frame is None:
                yield path, {'for': 'running'}
            elif id(inner) in within:
                yield path, None
            else:
                path.append(inner)
                within[id(inner)] = True
                left.append(inner.inner.__iter__())
                if not inner.inner:
                    yield path, self.wait(inner)

    def wait(self, innermost):
        return _generator_wait(
            innermost, self.holders, self.limits, self.callbacks.moment)

    def let_go(self):
        # Where generators wait for each other, these objects of ours would keep them
        # until the program's next garbage collection.
        for one in self.all:
            del one.inner[:]


def _none():
    yield


_GENERATOR = type(_none())


# The library puts its own function in place of this.


def _milliseconds():
    """Return the time in milliseconds since 1970."""
    return 0
