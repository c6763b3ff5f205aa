# What suspended generators wait for, and how one comes from a result to who waits
# for it. This follows generators.py, in one text with that.

# What holds the futures and Deferreds that are waited for: the module, the class,
# the attribute that holds one, or several, or what will be called to fulfil it;
# and what it is called here. A timer may be there beside something else.
_HOLDERS = (
    ('tornado.locks', 'Event', '_waiters', 'event'),
    ('tornado.locks', 'Event', '_future', 'event'),
    ('tornado.locks', 'Condition', '_waiters', 'condition'),
    ('tornado.locks', 'Semaphore', '_waiters', 'semaphore'),
    ('tornado.queues', 'Queue', '_getters', 'queue_get'),
    ('tornado.queues', 'Queue', '_putters', 'queue_put'),
    ('tornado.iostream', 'BaseIOStream', '_read_future', 'read'),
    ('tornado.iostream', 'BaseIOStream', '_write_futures', 'write'),
    ('tornado.iostream', 'BaseIOStream', '_connect_future', 'connect'),
    ('tornado.ioloop', '_Timeout', 'callback', 'timeout'),
    ('twisted.internet.defer', 'DeferredLock', 'waiting', 'lock'),
    ('twisted.internet.defer', 'DeferredSemaphore', 'waiting', 'semaphore'),
    ('twisted.internet.defer', 'DeferredQueue', 'waiting', 'queue_get'),
    ('twisted.internet.base', 'DelayedCall', 'func', 'timeout'),
    ('twisted.internet.base', 'DelayedCall', 'args', 'timeout'))

# Functions within functions that have several futures in their cells, and which
# of those it is that they fulfil; None for none that is not known otherwise.
_CALLBACKS = (
    ('tornado.gen', 'with_timeout', 'timeout_callback', 'result'),
    ('tornado.gen', 'multi_future', 'callback', 'future'),
    ('tornado.concurrent', 'chain_future', 'copy', 'b'),
    ('twisted.internet.defer', '_inlineCallbacks', 'gotResult', None))

# Functions are looked into so deep (Tornado wraps them), and at so many things.
_DEEPEST_CALLBACK, _MOST_OF_CALLBACK = 10, 100


def _is_class_of(kind, module):
    """Return whether this is a class of the package that the module is in: of
    either style, as Twisted's are of the old one."""
    if type(kind) is not type(_Old):
        return _is_type(kind) and _is_of_package(kind, module)
    # Of a class of the old style this is what stands in it, and asks nobody.
    owner = _item(kind.__dict__, '__module__')
    owner = owner and owner[0]
    return type(owner) is str and owner.split('.')[0] == module.split('.')[0]


def _class_name(thing):
    kind = type(thing)
    if kind is type(_Old()):
        return _text(thing.__class__.__name__)
    return _text(_type_name(kind))


def _holders(kinds):
    """Add the classes of _HOLDERS that there are to kinds, and return for each
    what is to be looked at, as (attribute, what it is called)."""
    holders = []
    classes = []
    for module, name, attribute, what in _HOLDERS:
        kind = _module(module).get(name)
        if not _is_class_of(kind, module):
            continue
        if not classes or classes[-1] is not kind:
            classes.append(kind)
            holders.append([])
        holders[-1].append((attribute, what))
    kinds.extend(classes)
    return holders


class _Callbacks(object):
    """Looks into functions that are to be called, for the futures that they
    fulfil. Runs nothing of them."""

    __slots__ = 'known', 'references', 'containers', 'moment'

    def __init__(self):
        # The names that _CALLBACKS has, by the id of the function's code.
        self.known = {}
        for module, outer, inner, name in _CALLBACKS:
            code = _nested(module, outer, inner)
            if code is not None:
                self.known[id(code)] = name
        self.references = _references()
        # By identity: a metaclass may have ideas of its own about `in`.
        self.containers = dict.fromkeys(map(id, (list, tuple, set, _deque())))
        # What Tornado's loop takes up in its next round.
        self.moment = _module(_TORNADO).get('moment')

    def enclosed(self, function):
        """Return what a function has of the functions around it, by name."""
        held = {}
        for name, cell in zip(
                function.func_code.co_freevars, function.func_closure or ()):
            # None, where the cell is empty.
            for value in self.references(cell):
                held[name] = value
        return held

    def reached(self, thing):
        """Return what a function that is to be called holds, and what is in the
        tuples, lists and sets that it holds. Other objects are not looked
        into."""
        found = []
        these = [thing]
        for _ in range(_DEEPEST_CALLBACK):
            inner = []
            for one in these:
                kind = type(one)
                if kind is _FUNCTION:
                    if one.func_closure is not None:
                        inner.extend(self.of_function(one))
                elif kind is _METHOD:
                    inner.extend((one.im_self, one.im_func))
                elif id(kind) in self.containers:
                    inner.extend(self.references(one)[:_MOST_OF_CALLBACK])
                elif _type_name(kind) == 'partial':
                    inner.extend((_in_c(one, 'func'), _in_c(one, 'args')))
                elif one is not None:
                    found.append(one)
            these = inner
            if not inner or len(found) + len(inner) > _MOST_OF_CALLBACK:
                break
        return found

    def of_function(self, function):
        name = self.known.get(id(function.func_code), '')
        if name is None:
            return ()
        held = self.enclosed(function)
        if name:
            return held.get(name),
        return held.values()

    def led_to(self, result, waiting):
        """Return those of the futures that are waited for to which a result
        leads: itself, or by way of others that are between them."""
        if id(result) in waiting:
            return [result]
        found = []
        left = [result]
        met = {}
        while left and len(met) < _MOST_BETWEEN:
            future = left.pop()
            if id(future) in met:
                continue
            met[id(future)] = True
            if id(future) in waiting:
                found.append(future)
            else:
                for callback in _callbacks(future)[:_MOST_BETWEEN]:
                    left.extend(self.reached(callback))
        return found


_FUNCTION, _METHOD = type(_is_class_of), type(_Callbacks.reached)

# A type's own name, whatever its metaclass says.
_type_name = type.__dict__['__name__'].__get__


def _callbacks(future):
    """Return what is to be called when there is a result."""
    held = _attributes(future)
    if held:
        for name in ('_callbacks', 'callbacks', '_done_callbacks'):
            callbacks = held.get(name)
            if type(callbacks) is list:
                return callbacks
    return ()


def _look_into(thing, rows, wanted, callbacks, holders):
    """Add what of the wanted things this one holds to holders, as (what it is
    called, what holds it)."""
    for attribute, what in rows:
        for held in callbacks.reached(_in_c(thing, attribute)):
            ident = id(held)
            if ident in wanted and wanted[ident] is held:
                if what != 'timeout' or ident not in holders:
                    holders[ident] = what, thing


def _generator_wait(driven, holders, moment):
    """Return what a generator waits for that waits for no other, or None."""
    future = driven.future
    if future is None:
        return None
    if future is moment:
        return {'for': 'turn'}
    what, holder = holders.get(id(future), (None, future))
    if what == 'timeout':
        return _timeout(driven, holder)
    if what is None:
        what = driven.library == 'tornado' and 'future' or 'deferred'
    return {'for': what, 'class': _class_name(holder), 'id': id(holder)}


def _timeout(driven, timer):
    """Return what there is to tell of a timer."""
    wait = {'for': 'timeout'}
    held = _attributes(timer) or {}
    if driven.library == 'tornado':
        ends = [_in_c(timer, 'deadline')]
        clock = (_attributes(driven.loop) or {}).get('time_func')
    else:
        ends = [held.get('time'), held.get('delayed_time')]
        clock = held.get('seconds')
    # The program may have a clock of its own.
    if type(clock) is type(len) and clock.__name__ == 'time' and [
            one for one in ends if type(one) is not float
            and type(one) is not int] == []:
        left = sum(ends) * 1000 - _clocks()[1]
        wait['milliseconds'] = int(max(0, min(left, 1e12)))
    return wait
