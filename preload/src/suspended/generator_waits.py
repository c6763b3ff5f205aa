# What suspended generators wait for, and how one comes from a result to who waits
# for it. This follows generators.py, in one text with that.

# What holds the futures and Deferreds that are waited for: the module, the class,
# the attribute that holds one, or several; and what it is called here.
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
    # The function that a timer calls.
    ('tornado.ioloop', '_Timeout', 'callback', 'timer'),
    ('twisted.internet.base', 'DelayedCall', 'func', 'timer'))

# Functions within functions, the variable of those that they are for, and what they
# do to it: fulfil it, or give up waiting for it, or call it, and that is all.
_CALLBACKS = (
    ('tornado.gen', 'multi_future', 'callback', 'future', 'fulfils'),
    ('tornado.concurrent', 'chain_future', 'copy', 'b', 'fulfils'),
    ('tornado.gen', 'sleep', '<lambda>', 'f', 'fulfils'),
    ('tornado.gen', 'with_timeout', 'timeout_callback', 'result', 'gives up'),
    ('tornado.stack_context', 'wrap', 'null_wrapper', 'fn', 'calls'),
    ('tornado.stack_context', 'wrap', 'wrapped', 'fn', 'calls'),
    ('twisted.internet.defer', 'Deferred.addTimeout', 'timeItOut', 'self', 'gives up'))

# What methods of futures and Deferreds do to them.
_METHODS = {
    'set_result': 'fulfils', 'set_exception': 'fulfils', 'set_exc_info': 'fulfils',
    'callback': 'fulfils', 'errback': 'fulfils', '_cbDeferred': 'fulfils',
    'cancel': 'gives up'}

# Functions may be within others so deep.
_DEEPEST_CALLBACK = 10


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
    """Looks into functions that are to be called, for the futures that they are
    for. Runs nothing of them."""

    __slots__ = (
        'known', 'references', 'containers', 'moment', 'partial', 'kinds', 'goes_on')

    def __init__(self):
        # The last two of _CALLBACKS, by the id of the function's code.
        self.known = {}
        for module, outer, inner, name, does in _CALLBACKS:
            code = _nested(module, outer, inner)
            if code is not None:
                self.known[id(code)] = does, name
        self.references = _references()
        # By identity: a metaclass may have ideas of its own about `in`.
        self.containers = dict.fromkeys(
            [id(one) for one in (list, tuple, set, _deque())])
        # What Tornado's loop takes up in its next round.
        self.moment = _module(_TORNADO).get('moment')
        self.partial = _module('functools').get('partial')
        self.kinds = [
            kind for module, kind in (
                (_TORNADO, _module('tornado.concurrent').get('Future')),
                (_TWISTED, _module(_TWISTED).get('Deferred')))
            if _is_class_of(kind, module)]
        # Stands in place of a function where the Deferred that is its argument
        # goes on with the result.
        self.goes_on = _module(_TWISTED).get('_CONTINUE')

    def enclosed(self, function):
        """Return what a function has of the functions around it, by name."""
        held = {}
        names = function.func_code.co_freevars
        for index, cell in enumerate(function.func_closure or ()):
            # None, where the cell is empty.
            for value in self.references(cell):
                if index < len(names):
                    held[names[index]] = value
        return held

    def is_future(self, thing):
        """Return whether this is a future or a Deferred, whatever its class says."""
        kind = type(thing)
        if kind is not type(_Old()):
            return [one for one in type.__dict__['__mro__'].__get__(kind)
                    if [known for known in self.kinds if one is known]] != []
        classes = [thing.__class__]
        # What is added to it meanwhile comes too.
        for one in classes:
            if [known for known in self.kinds if one is known]:
                return True
            classes.extend(one.__bases__)
            if len(classes) > _MOST_BETWEEN:
                break
        return False

    def purpose(self, function):
        """Return what a function that is to be called does to which future, as
        (what, future); (None, None) of one that is not known."""
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
        """Return the future that is fulfilled by what stands among the callbacks
        of another one, or None."""
        if type(callback) is tuple:
            # Of Twisted: (function, arguments, arguments by name), and the same
            # for failures.
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
        """Return what an attribute holds of futures: itself, or what is in it; of
        pairs the second ones."""
        if id(type(held)) not in self.containers:
            return held,
        if len(held) > _MOST_DRIVERS:
            return ()
        return [
            type(one) is tuple and len(one) == 2 and one[1] or one
            for one in self.references(held)]

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
            elif self.is_future(future):
                for callback in _callbacks(future):
                    future = self.fulfilled(callback)
                    if future is not None:
                        left.append(future)
        return found


_FUNCTION, _METHOD = type(_is_class_of), type(_Callbacks.purpose)

# A type's own name, whatever its metaclass says.
_type_name = type.__dict__['__name__'].__get__


def _callbacks(future):
    """Return what is to be called when there is a result; of many the last."""
    held = _attributes(future)
    if held:
        for name in ('_callbacks', 'callbacks', '_done_callbacks'):
            callbacks = held.get(name)
            if type(callbacks) is list:
                return callbacks[-_MOST_BETWEEN:]
    return ()


def _look_into(thing, rows, wanted, callbacks, holders, limits):
    """Add what of the wanted things this one holds to holders, as (what it is
    called, what holds it), and timers that give up waiting to limits."""
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
    """Return what a generator waits for that waits for no other, or None."""
    future = driven.future
    if future is None:
        return None
    if future is moment:
        return {'for': 'turn'}
    what, holder = holders.get(id(future), (None, future))
    if what == 'timer':
        left = _time_left(driven, holder)
        if left is not None:
            return left and {'for': 'timeout', 'milliseconds': left[0]} or {
                'for': 'timeout'}
        what, holder = None, future
    if what is None:
        what = driven.library == 'tornado' and 'future' or 'deferred'
    wait = {'for': what, 'class': _class_name(holder), 'id': id(holder)}
    left = id(future) in limits and _time_left(driven, limits[id(future)])
    if left:
        wait['milliseconds'] = left[0]
    return wait


def _time_left(driven, timer):
    """Return in how many milliseconds a timer goes off, as a tuple of one, or an
    empty one; None if it has gone off already, or never will."""
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
    # The program may have a clock of its own.
    if type(clock) is not type(len) or clock.__name__ != 'time' or [
            one for one in ends if type(one) is not float
            and type(one) is not int]:
        return ()
    left = (ends[0] + ends[1]) * 1000 - _clocks()[1]
    # Of Tornado's it is not known otherwise.
    if left < 0 and driven.library == 'tornado':
        return None
    return _within(left, 1e12),
