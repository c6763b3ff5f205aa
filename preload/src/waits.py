# What threads wait for, and which locks they hold: a part of facts.py.


def _tell_waits(told, frames, waits, threads, holds):
    """Add to what is told what each thread waits for, and which of the locks
    that others wait for it has in its variables."""
    locks = {}
    for ident, wait in waits.items():
        if wait is None:
            continue
        thing = wait.pop('thing', None)
        if thing is not None:
            wait['id'] = id(thing)
        owner = wait.pop('owner', None)
        if owner is not None:
            # 2.6 keeps the thread itself.
            wait['owner'] = _number(owner) or _number(threads.get(id(owner)))
        if wait['for'] == 'rlock' and wait.get('owner') == ident:
            # It has got it already.
            continue
        if wait['for'] == 'lock':
            # Where a block begins, it has it as soon as there is the block.
            if wait.pop('begins') and wait['id'] in [
                    one[0] for one in holds.get(ident, ())]:
                continue
            locks[id(thing)] = thing
        told.setdefault(ident, {})['wait'] = wait
    if locks:
        for ident, lock in _having(frames, tuple(locks.values())):
            having = told.setdefault(ident, {}).setdefault('has', [])
            if id(lock) not in having:
                having.append(id(lock))


def _holds(frames, threading, known):
    """Return the locks that threads hold for `with` blocks, by identifier, as
    lists of (id, file, line)."""
    kinds = [kind for kind in (
        known.lock, threading.get('_RLock'), threading.get('_Semaphore'))
        if kind is not None]
    condition = threading.get('_Condition')
    holds = {}
    waiting = []
    for ident, frame, leave in _exits(frames, known.condition_wait):
        kind = type(leave)
        if leave is known.condition_wait:
            waiting.append((ident, frame))
            continue
        if kind is type(len):
            held = leave.__self__
        elif kind is type(_Nobody.nothing):
            held = leave.im_self
            if type(held) is condition:
                held = (_attributes(held) or {}).get('_Condition__lock')
        else:
            continue
        if [kind for kind in kinds if type(held) is kind]:
            holds.setdefault(ident, []).append(
                (id(held), frame.f_code.co_filename, frame.f_lineno))
    # While it waits for a condition it has let go of that one's lock.
    for ident, frame in waiting:
        if ident in holds:
            one = _variable(frame, 'self')
            one = one and _attributes(one[0]) or {}
            lock = id(one.get('_Condition__lock'))
            holds[ident] = [hold for hold in holds[ident] if hold[0] != lock]
    return holds


class _Nobody(object):
    def nothing(self):
        pass


class _Known(object):
    """What is looked up once for all threads: lock is the type of plain locks,
    sleep the function; codes and lines are by code; condition_wait is the code of
    a condition's own function, or a number."""

    def __init__(self, threading):
        self.lock = _module('thread').get('LockType')
        self.sleep = _module('time').get('sleep')
        self.codes = _known_codes(threading)
        wait = _class_attributes(threading.get('_Condition')).get('wait')
        self.condition_wait = type(wait) is type(_number) and wait.func_code or 0
        self.lines = {}


def _known_codes(threading):
    """Return functions of the standard library that threads wait in, by the id
    of their code: what they are called here. Another's in their place is not
    known."""
    known = {}
    for owner, names in (
            (threading.get('_Condition'), {'wait': 'condition'}),
            (threading.get('_Event'), {'wait': 'event'}),
            (threading.get('_Semaphore'), {'acquire': 'semaphore'}),
            (threading.get('_RLock'), {
                'acquire': 'rlock', '_acquire_restore': 'rlock'}),
            (threading.get('Thread'), {'join': 'thread'}),
            (_module('Queue').get('Queue'), {
                'get': 'queue_get', 'put': 'queue_put', 'join': 'queue_join'})):
        functions = _class_attributes(owner)
        for name, what in names.items():
            function = functions.get(name)
            if type(function) is type(_number):
                known[id(function.func_code)] = what
    return known


class _Old:
    pass


def _class_attributes(owner):
    """Return what a class itself holds, as a dictionary to look at."""
    if type(owner) is type(_Old):
        return owner.__dict__
    if type(owner) is type:
        return dict(type.__dict__['__dict__'].__get__(owner))
    return {}


def _wait(frame, known):
    """Return what a thread with this innermost frame waits for, or None."""
    what = known.codes.get(id(frame.f_code))
    if what == 'rlock':
        # Where it asks its own lock, and not before or after that.
        asked = _wait_in_call(frame, known)
        if asked is None or asked['for'] != 'lock':
            return None
        lock = _variable(frame, 'self')
        held = lock and _attributes(lock[0])
        if not held:
            return None
        return {'for': what, 'thing': lock[0],
                'owner': held.get('_RLock__owner'),
                'count': _number(held.get('_RLock__count'))}
    if what != 'condition':
        return _wait_in_call(frame, known)
    timeout = _variable(frame, 'timeout')
    wait = {'for': what, 'thing': (_variable(frame, 'self') or (None,))[0],
            'limited': timeout is not None and timeout[0] is not None}
    # A condition is what the others are made of. It is waited for two frames
    # further out where there is a function between, as _Event has on 2.6.
    outer = frame.f_back
    for _ in range(2):
        what = outer is not None and known.codes.get(id(outer.f_code))
        if what and what != 'condition':
            break
        outer = outer is not None and outer.f_back or None
    else:
        return wait
    thing = (_variable(outer, 'self') or (None,))[0]
    wait['for'] = what
    wait['thing'] = thing
    if what == 'event':
        return wait
    held = _attributes(thing) or {}
    if what == 'thread':
        wait['name'] = _text(held.get('_Thread__name'))
        wait['joined'] = _number(held.get('_Thread__ident'))
    elif what == 'semaphore':
        wait['value'] = _number(held.get('_Semaphore__value'))
    else:
        wait['most'] = _number(held.get('maxsize'))
        queue = held.get('queue')
        kind = type(queue)
        if kind is list or kind is _deque():
            wait['size'] = len(queue)
    return wait


def _deque():
    return _module('collections').get('deque')


def _wait_in_call(frame, known):
    """Return what a function of C's waits for that the frame is calling."""
    called, arguments = _called(frame, known.lines)
    if _imports(frame, called):
        return {'for': 'import'}
    if called is None:
        return None
    thing, name = called
    if type(thing) is known.lock and name in (
            'acquire', 'acquire_lock', '__enter__'):
        # Unless it only tries.
        if arguments and not (
                arguments[0] is not None and len(arguments[0]) == 1
                and (arguments[0][0] is True or _number(arguments[0][0]) == 1)):
            return None
        return {'for': 'lock', 'thing': thing, 'begins': arguments is None}
    if type(thing) is type(sys):
        # A module's function.
        function = (_attributes(thing) or {}).get(name)
        if type(function) is type(len) and function is known.sleep:
            wait = {'for': 'sleep'}
            if arguments and arguments[0] is not None and len(arguments[0]) == 1:
                seconds = arguments[0][0]
                if type(seconds) is float or _number(seconds):
                    wait['milliseconds'] = int(
                        min(max(seconds, 0), 1e9) * 1000)
            return wait
    return None


def _imports(frame, called):
    """Return whether the frame, which is calling this, is importing something, as
    the interpreter itself does it: holding the import lock, or waiting for it."""
    if called is not None:
        if called[1] not in ('__import__', 'acquire_lock'):
            return False
        function = (_attributes(called[0]) or {}).get(called[1])
    else:
        text = frame.f_code.co_code
        last = frame.f_lasti
        if not 0 <= last < len(text) or ord(text[last]) != _IMPORT_NAME:
            return False
        found = _item(frame.f_builtins, '__import__')
        function = found and found[0]
    return type(function) is type(len) and (
        (function.__module__, function.__name__) in (
            ('__builtin__', '__import__'), ('imp', 'acquire_lock')))


def _tell_importers(frames, waits, known):
    """Add to the waits for the import lock which thread has it: the one in which
    the code of a module runs because it is imported. The interpreter holds the
    lock meanwhile (Python/import.c, PyImport_ImportModuleLevel). A wait of which
    that is not known is left out, and so is one of that thread: it is not known
    from one that reads a module's file, say, or waits in its C code."""
    waiting = [ident for ident, wait in waits.items()
               if wait is not None and wait['for'] == 'import']
    if not waiting:
        return
    importers = []
    if _held():
        for ident, frame in frames.items():
            while frame is not None:
                code, frame = frame.f_code, frame.f_back
                # Not a function that a signal or the collector has called there.
                if code.co_name == '<module>' and (
                        frame is not None
                        and _imports(frame, _called(frame, known.lines)[0])):
                    importers.append(ident)
                    break
    for ident in waiting:
        if len(importers) == 1 and ident not in importers:
            waits[ident]['owner'] = importers[0]
        else:
            waits[ident] = None


def _held():
    """Return whether the import lock may be held. Who lets go of it while it
    imports has this module."""
    held = _module('imp').get('lock_held')
    if type(held) is type(len) and held.__module__ == 'imp':
        return held()
    return True
