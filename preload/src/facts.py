"""What the commands make their other formats of, beside the state's text.

Runs under the GIL, as the snippet does, on objects that may be of any class: so
it calls nothing of theirs, compares nothing of theirs, and looks at attributes
by _attributes alone, which is the library's. What it returns holds nothing but
numbers, text, None, lists and dictionaries of its own.
"""

_SLEEPER_AGENT = True

# Longer text is cut.
_LONGEST = 1000

# Instructions (Include/opcode.h); 2.6 has no SETUP_WITH.
_POP_TOP, _ROT_TWO, _DUP_TOP, _HAVE_ARGUMENT = 1, 2, 4, 90
_STORE_NAME = 90
_LOAD_CONST, _LOAD_NAME, _LOAD_ATTR = 100, 101, 106
_LOAD_GLOBAL, _LOAD_FAST, _STORE_FAST = 116, 124, 125
_CALL_FUNCTION, _LOAD_DEREF, _SETUP_WITH = 131, 136, 143
if sys.version_info < (2, 7):
    _LOAD_ATTR = 105

# Larger numbers are nonsense, and the commands need not read them.
_LARGEST = 2 ** 62


def _more(frames):
    """Return what there is to tell of each thread beside its stack, by
    identifier. frames is what sys._current_frames() returns."""
    told = {}
    threading = _module('threading')
    active = threading.get('_active')
    if type(active) is not dict:
        active = {}
    for ident, thread in active.items():
        if type(ident) in (int, long) and ident in frames:
            attributes = _attributes(thread) or {}
            told[ident] = {
                'name': _text(attributes.get('_Thread__name')),
                'daemon': attributes.get('_Thread__daemonic') is True,
                'main': type(thread) is threading.get('_MainThread')}
    waits = {}
    known = _known(threading)
    lines = {}
    for ident, frame in frames.items():
        try:
            waits[ident] = _wait(frame, known, lines)
        except (SystemExit, KeyboardInterrupt):
            raise
        except:  # Of nonsense there is nothing to tell.
            pass
    _tell_waits(told, frames, waits, active, threading.get('_Condition'))
    return told


def _tell_waits(told, frames, waits, active, condition):
    """Add to what is told what each thread waits for, which locks it holds,
    and which of those that others wait for it has in its variables."""
    threads = dict([(id(thread), ident) for ident, thread in active.items()])
    locks = {}
    for ident, wait in waits.items():
        if wait is None:
            continue
        thing = wait.pop('thing', None)
        if thing is not None:
            wait['id'] = id(thing)
        owner = wait.pop('owner', None)
        if type(owner) in (int, long):
            wait['owner'] = _number(owner)
        elif owner is not None:
            # 2.6 keeps the thread itself.
            wait['owner'] = threads.get(id(owner))
        if wait['for'] == 'lock':
            locks[id(thing)] = thing
        told.setdefault(ident, {})['wait'] = wait
    for ident, frame, leave in _exits(frames):
        kind = type(leave)
        if kind is type(len) and leave.__name__ == '__exit__':
            held = leave.__self__
        elif kind is type(_Nobody.nothing) and (
                type(leave.im_func) is type(_number)
                and leave.im_func.func_name == '__exit__'):
            held = leave.im_self
            if type(held) is condition:
                held = _attributes(held).get('_Condition__lock')
        else:
            continue
        told.setdefault(ident, {}).setdefault('holds', []).append(
            (id(held), frame.f_code.co_filename, frame.f_lineno))
    if locks:
        for ident, lock in _having(frames, tuple(locks.values())):
            having = told.setdefault(ident, {}).setdefault('has', [])
            if id(lock) not in having:
                having.append(id(lock))


class _Nobody(object):
    def nothing(self):
        pass


# The library's own are put in place of these, if it knows how frames are laid
# out here.


def _attributes(thing):
    """Return the dictionary that holds an object's own attributes, or None."""
    return None


def _variables(frame):
    """Return a function's local variables, as (name, value)."""
    return ()


def _exits(frames):
    """Return what is to be called at the ends of the blocks that threads are in,
    as (identifier, frame, what): __exit__ of `with` blocks, and others."""
    return ()


def _having(frames, objects):
    """Return which threads have one of these in a variable, as (identifier,
    object)."""
    return ()


def _module(name):
    """Return what a module that the program has imported holds, or {}."""
    modules = sys.modules
    module = type(modules) is dict and modules.get(name)
    return module and type(module) is type(sys) and _attributes(module) or {}


def _text(value):
    """Return a value if it is text, cut where it is long, or None."""
    if type(value) is str or type(value) is unicode:
        return value[:_LONGEST]
    return None


def _number(value):
    """Return a value if it is a number as there may be, or 0."""
    if type(value) in (int, long) and -_LARGEST < value < _LARGEST:
        return value
    return 0


def _known(threading):
    """Return functions of the standard library that threads wait in, by their
    code: what they are called here. Another's in their place is not known."""
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
                known[function.func_code] = what
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


def _wait(frame, known, lines):
    """Return what a thread with this innermost frame waits for, or None."""
    what = known.get(frame.f_code)
    if what == 'rlock':
        lock = dict(_variables(frame)).get('self')
        held = _attributes(lock) or {}
        return {'for': what, 'thing': lock, 'owner': held.get('_RLock__owner'),
                'count': _number(held.get('_RLock__count'))}
    if what != 'condition':
        return _wait_in_call(frame, lines)
    variables = dict(_variables(frame))
    wait = {'for': what, 'thing': variables.get('self'),
            'limited': variables.get('timeout') is not None}
    # A condition is what the others are made of. It is waited for two frames
    # further out where there is a function between, as _Event has on 2.6.
    outer = frame.f_back
    for _ in range(2):
        what = outer is not None and known.get(outer.f_code)
        if what and what != 'condition':
            break
        outer = outer is not None and outer.f_back or None
    else:
        return wait
    thing = dict(_variables(outer)).get('self')
    held = _attributes(thing) or {}
    wait['for'] = what
    wait['thing'] = thing
    if what == 'thread':
        wait['name'] = _text(held.get('_Thread__name'))
        wait['joined'] = _number(held.get('_Thread__ident'))
    elif what == 'semaphore':
        wait['value'] = _number(held.get('_Semaphore__value'))
    elif what != 'event':
        wait['most'] = _number(held.get('maxsize'))
        queue = held.get('queue')
        if type(queue) in (list, _deque()):
            wait['size'] = len(queue)
    return wait


def _deque():
    return _module('collections').get('deque')


def _wait_in_call(frame, lines):
    """Return what a function of C's waits for that the frame is calling."""
    called, arguments = _called(frame, lines)
    if called is None:
        return None
    thing, name = called
    if type(thing) is _lock_type() and name in (
            'acquire', 'acquire_lock', '__enter__'):
        return {'for': 'lock', 'thing': thing}
    if type(thing) is type(sys):
        # A module's function.
        function = (_attributes(thing) or {}).get(name)
        if type(function) is type(len) and (
                function is _module('time').get('sleep')):
            seconds = arguments and arguments[0]
            wait = {'for': 'sleep'}
            if type(seconds) in (int, long, float):
                wait['milliseconds'] = int(min(max(seconds, 0), 1e9) * 1000)
            return wait
    return None


def _lock_type():
    return _module('thread').get('LockType')


def _called(frame, lines):
    """Return what the frame is calling, as (object, name of its attribute), and
    the arguments, None for those that are not known: as far as the line that it
    is in names them plainly. Nothing is run for it. lines keeps what has been
    read of code."""
    code = frame.f_code
    # Not by the code itself: it compares by value, which takes long.
    key = id(code), frame.f_lasti
    if key not in lines:
        lines[key] = _instructions(code, frame.f_lasti)
    if not lines[key]:
        return None, ()
    stack = []
    for instruction, argument in lines[key][:-1]:
        if instruction == _LOAD_CONST:
            stack.append((code.co_consts[argument],))
        elif instruction == _LOAD_FAST:
            stack.append(_variable(frame, code.co_varnames[argument]))
        elif instruction == _LOAD_DEREF:
            stack.append(_variable(
                frame, (code.co_cellvars + code.co_freevars)[argument]))
        elif instruction in (_LOAD_NAME, _LOAD_GLOBAL):
            stack.append(_global(frame, code.co_names[argument]))
        elif instruction == _LOAD_ATTR and stack:
            stack.append(_attribute(stack.pop(), code.co_names[argument]))
        elif instruction == _DUP_TOP and stack:
            stack.append(stack[-1])
        elif instruction == _ROT_TWO and len(stack) > 1:
            stack[-2:] = stack[-1], stack[-2]
        elif instruction in (_POP_TOP, _STORE_NAME, _STORE_FAST) and stack:
            stack.pop()
        else:
            # What it does to the stack is not known here.
            del stack[:]
    instruction, argument = lines[key][-1]
    if instruction == _SETUP_WITH and stack:
        return _bound(_attribute(stack[-1], '__enter__')), ()
    # No arguments by name.
    if instruction == _CALL_FUNCTION and argument < min(256, len(stack)):
        stack = stack[len(stack) - argument - 1:]
        return _bound(stack[0]), [
            value is not None and len(value) == 1 and value[0] or None
            for value in stack[1:]]
    return None, ()


def _instructions(code, last):
    """Return the instructions of the line that the last one is in, as far as to
    that one, as (instruction, argument); none where that one calls nothing."""
    text = code.co_code
    if not 0 <= last < len(text) or ord(text[last]) not in (
            _CALL_FUNCTION, _SETUP_WITH):
        return ()
    found = []
    position = _start_of_line(code, last)
    while position <= last:
        instruction = ord(text[position])
        argument = 0
        if instruction >= _HAVE_ARGUMENT:
            argument = ord(text[position + 1]) + 256 * ord(text[position + 2])
        found.append((instruction, argument))
        position += instruction >= _HAVE_ARGUMENT and 3 or 1
    return found


def _start_of_line(code, at):
    """Return where the instructions begin of the line that this one is in."""
    table = code.co_lnotab
    position = start = 0
    for index in range(0, len(table) - 1, 2):
        position += ord(table[index])
        if position > at:
            break
        if ord(table[index + 1]):
            start = position
    return start


# A value that is known is a tuple of one; an attribute of an object that is to
# be found in its class, one of two; what is not known is None.


def _variable(frame, name):
    for known, value in _variables(frame):
        if known == name:
            return value,
    return None


def _global(frame, name):
    for namespace in (
            not frame.f_code.co_flags & 2 and frame.f_locals,
            frame.f_globals, frame.f_builtins):
        if type(namespace) is dict and name in namespace:
            return namespace[name],
    return None


def _attribute(value, name):
    if value is None or len(value) != 1:
        return None
    held = _attributes(value[0])
    if type(held) is dict and name in held:
        return held[name],
    return value[0], name


def _bound(value):
    """Return (object, name) of what is called, or None."""
    if value is not None and len(value) == 1:
        # A function that was taken out of its object before.
        function = value[0]
        if type(function) is not type(len):
            return None
        owner = function.__self__
        if owner is None:
            # A module's.
            module = function.__module__
            owner = type(module) is str and sys.modules.get(module) or None
        return owner, function.__name__
    return value


def _tell(collected, sources, tasks, holder):
    """Return all of it as a str, or '' if there is no thread. tasks is what the
    kernel says of the threads; holder is the identifier of the one that held the
    GIL when it was asked for, or 0."""
    threads, places, order, path, more = collected
    if not threads:
        return ''
    return _FACTS + marshal.dumps({
        'python': sys.version,
        'threads': threads,
        'places': [
            (filename, name, line, type(source) in (str, unicode) and source or '')
            for (filename, name, line, origin), source in zip(places, sources)],
        'more': more,
        'tasks': tasks,
        'holder': holder}, 0)
