# What suspended generators wait for, and the way from a result to its waiters.
# Compiled as one text with greenlets.py, behind generators.py.

# What holds futures and Deferreds that are waited for: the module, the class, the
# attribute that holds one or several of them, and what it is called here.
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
    ('twisted.internet.defer', 'DeferredLock', 'waiting', 'lock'),
    ('twisted.internet.defer', 'DeferredSemaphore', 'waiting', 'semaphore'),
    ('twisted.internet.defer', 'DeferredQueue', 'waiting', 'queue_get'),
    # Here the attribute is the function that a timer calls.
    ('tornado.ioloop', '_Timeout', 'callback', 'timer'),
    ('twisted.internet.base', 'DelayedCall', 'func', 'timer'))

# Functions within functions: the module, the outer function, the inner one, its
# variable that holds a future, and what it does to that: it fulfils the future, or
# gives up waiting for it; or the variable is a function, which it only calls.
_CALLBACKS = (
    ('tornado.gen', 'multi_future', 'callback', 'future', 'fulfils'),
    ('tornado.concurrent', 'chain_future', 'copy', 'b', 'fulfils'),
    ('tornado.gen', 'sleep', '<lambda>', 'f', 'fulfils'),
    ('tornado.gen', 'with_timeout', 'timeout_callback', 'result', 'gives up'),
    ('tornado.stack_context', 'wrap', 'null_wrapper', 'fn', 'calls'),
    ('tornado.stack_context', 'wrap', 'wrapped', 'fn', 'calls'),
    ('twisted.internet.defer', 'Deferred.addTimeout', 'timeItOut', 'self', 'gives up'))

# Methods of futures and Deferreds, and what they do to them.
_METHODS = {
    'set_result': 'fulfils', 'set_exception': 'fulfils', 'set_exc_info': 'fulfils',
    'callback': 'fulfils', 'errback': 'fulfils', '_cbDeferred': 'fulfils',
    'cancel': 'gives up'}

# How many functions may call each other on the way to a future.
_DEEPEST_CALLBACK = 10


def _is_class_of(kind, module):
    """Return whether this is a class, of either style, that was defined in the
    package that has this module. (Twisted's are old-style.)"""
    if type(kind) is not type(_Old):
        return _is_type(kind) and _is_of_package(kind, module)
    # An old-style class's __dict__ is read as it stands; no code runs.
    owner = _item(kind.__dict__, '__module__')
    owner = owner and owner[0]
    return type(owner) is str and owner.split('.')[0] == module.split('.')[0]


def _class_name(thing):
    kind = type(thing)
    if kind is type(_Old()):
        return _text(thing.__class__.__name__)
    return _text(_type_name(kind))


def _holders(kinds):
    """Add the classes of _HOLDERS that the program has to kinds, and return for
    each a list of (attribute, what it is called)."""
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
    """Finds the futures that callbacks are about, without running any code of
    theirs."""

    __slots__ = (
        'known', 'containers', 'moment', 'partial', 'kinds', 'goes_on')

    def __init__(self):
        # The last two of _CALLBACKS, by the id of the function's code.
        self.known = {}
        for module, outer, inner, name, does in _CALLBACKS:
            code = _nested(module, outer, inner)
            if code is not None:
                self.known[id(code)] = does, name
        # By identity: a metaclass may redefine `==`.
        self.containers = dict.fromkeys(
            [id(one) for one in (list, tuple, set, _deque())])
        # The future that Tornado's loop goes on with in its next round.
        self.moment = _module(_TORNADO).get('moment')
        self.partial = _module('functools').get('partial')
        self.kinds = [
            kind for module, kind in (
                (_TORNADO, _module('tornado.concurrent').get('Future')),
                (_TWISTED, _module(_TWISTED).get('Deferred')))
            if _is_class_of(kind, module)]
        # Stands in place of a callback where the Deferred that is its argument goes
        # on with the result.
        self.goes_on = _module(_TWISTED).get('_CONTINUE')

    def enclosed(self, function):
        """Return a function's variables of the functions around it, by name."""
        held = {}
        names = function.func_code.co_freevars
        for index, cell in enumerate(function.func_closure or ()):
            # No value where the cell is empty.
            for value in _held_by([cell]):
                if index < len(names):
                    held[names[index]] = value
        return held

    def is_future(self, thing):
        """Return whether this is a future or a Deferred, by its type alone."""
        kind = type(thing)
        if kind is not type(_Old()):
            return [one for one in type.__dict__['__mro__'].__get__(kind)
                    if [known for known in self.kinds if one is known]] != []
        classes = [thing.__class__]
        # The loop goes on with what is added meanwhile.
        for one in classes:
            if [known for known in self.kinds if one is known]:
                return True
            classes.extend(one.__bases__)
            if len(classes) > _MOST_BETWEEN:
                break
        return False

    def purpose(self, function):
        """Return (what it does, future) of a callback; (None, None) if that is not
        known."""
        for _ in xrange(_DEEPEST_CALLBACK):
            kind = type(function)
            if kind is _FUNCTION:
                does, name = self.known.get(id(function.func_code), (None, None))
                if does is None:
                    break
                function = self.enclosed(function).get(name)
                if does == 'calls':
                    continue
                return does, function
            if kind is _METHOD and type(function.im_func) is _FUNCTION:
                name = function.im_func.func_code.co_name
                future = function.im_self
                if type(name) is str and name in _METHODS and self.is_future(future):
                    return _METHODS[name], future
                break
            if self.partial is None or kind is not self.partial:
                break
            function = _in_c(function, 'func')
        return None, None

    def fulfilled(self, callback):
        """Return the future that an entry among another one's callbacks fulfils,
        or None."""
        if type(callback) is tuple:
            # Twisted's: (function, arguments, arguments by name), and the same for
            # failures.
            callback = callback and callback[0]
            if type(callback) is not tuple or len(callback) < 2:
                return None
            if self.goes_on is not None and callback[0] is self.goes_on:
                arguments = callback[1]
                if type(arguments) is tuple and len(arguments) == 1:
                    return arguments[0]
                return None
            callback = callback[0]
        does, future = self.purpose(callback)
        return does == 'fulfils' and future or None

    def waiters(self, held):
        """Return the futures that an attribute holds: its value, or what is in it;
        of a pair the second part."""
        if id(type(held)) not in self.containers:
            return held,
        if len(held) > _MOST_DRIVERS:
            return ()
        return [
            type(one) is tuple and len(one) == 2 and one[1] or one
            for one in _held_by([held])]

    def led_to(self, result, waiting):
        """Return the futures in waiting to which a result leads: the result itself,
        or futures that it fulfils by way of others."""
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
            elif self.is_future(future):
                for callback in _callbacks(future):
                    future = self.fulfilled(callback)
                    if future is not None:
                        left.append(future)
        return found


_FUNCTION, _METHOD = type(_is_class_of), type(_Callbacks.purpose)

# Reads a type's name without asking its metaclass.
_type_name = type.__dict__['__name__'].__get__


def _callbacks(future):
    """Return the callbacks of a future or Deferred; the last ones, if there are
    many."""
    held = _attributes(future)
    if held:
        for name in ('_callbacks', 'callbacks', '_done_callbacks'):
            callbacks = held.get(name)
            if type(callbacks) is list:
                return callbacks[-_MOST_BETWEEN:]
    return ()


def _look_into(thing, rows, wanted, callbacks, holders, limits):
    """Look for wanted futures in this object: add (what it is called, the object)
    to holders, and timers that end the wait for a future to limits."""
    for attribute, what in rows:
        held = _in_c(thing, attribute)
        if what != 'timer':
            for one in callbacks.waiters(held):
                if id(one) in wanted and wanted[id(one)] is one:
                    holders[id(one)] = what, thing
            continue
        does, future = callbacks.purpose(held)
        if id(future) in wanted and wanted[id(future)] is future:
            if does == 'fulfils':
                holders.setdefault(id(future), (what, thing))
            elif does is not None:
                limits[id(future)] = thing


def _generator_wait(driven, holders, limits, moment):
    """Return what an innermost generator waits for, or None."""
    future = driven.future
    if future is None:
        return None
    if future is moment:
        return {'for': 'turn'}
    what, holder = holders.get(id(future), (None, future))
    if what == 'timer':
        left = _time_left(driven, holder)
        if left and left[0] < 0:
            return {'for': 'timeout', 'overdue': -left[0]}
        if left is not None:
            return left and {'for': 'timeout', 'milliseconds': left[0]} or {
                'for': 'timeout'}
        what, holder = None, future
    if what is None:
        what = driven.library == 'tornado' and 'future' or 'deferred'
    wait = {'for': what, 'class': _class_name(holder), 'id': id(holder)}
    left = id(future) in limits and _time_left(driven, limits[id(future)])
    if left:
        wait['milliseconds'] = left[0] > 0 and left[0] or 0
    return wait


def _time_left(driven, timer):
    """Return (milliseconds until a timer goes off,), below zero if it should have done
    so already, or () if that is not known; None if it has gone off already or never will."""
    held = _attributes(timer) or {}
    if driven.library == 'tornado':
        ends = [_in_c(timer, 'deadline'), 0]
        clock = (_attributes(driven.loop) or {}).get('time_func')
    else:
        if [name for name in ('called', 'cancelled')
                if type(held.get(name)) is not int or held[name] != 0]:
            return None
        ends = [held.get('time'), held.get('delayed_time')]
        clock = held.get('seconds')
    # The program may use a clock of its own.
    if type(clock) is not type(len) or clock.__name__ != 'time' or [
            one for one in ends if type(one) is not float
            and type(one) is not int]:
        return ()
    left = (ends[0] + ends[1]) * 1000 - _milliseconds()
    # Tornado's timers do not say that they have gone off.
    if left < 0 and driven.library == 'tornado':
        return None
    return left < 0 and -_within(-left, 1e12) or _within(left, 1e12),
