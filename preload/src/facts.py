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
_JUMPS_BY = 93, 110, 120, 121, 122, 143
_JUMPS_TO = 111, 112, 113, 114, 115, 119
_EXTENDED_ARG = 145
if sys.version_info < (2, 7):
    _LOAD_ATTR, _SETUP_WITH, _EXTENDED_ARG = 105, None, 143
    _JUMPS_BY, _JUMPS_TO = (93, 110, 111, 112, 120, 121, 122), (113, 119)

# In longer code it is not looked for jumps from elsewhere.
_LONGEST_CODE = 2000

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
        if _number(ident) and ident in frames:
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
    threads = dict([(id(thread), ident) for ident, thread in active.items()])
    holds = _holds(frames, threading, known)
    _tell_waits(told, frames, waits, threads, holds)
    for ident, held in holds.items():
        told.setdefault(ident, {})['holds'] = held
    return told


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
        _lock_type(), threading.get('_RLock'), threading.get('_Semaphore'))
        if kind is not None]
    condition = threading.get('_Condition')
    holds = {}
    for ident, frame, leave in _exits(frames):
        kind = type(leave)
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
    for ident, held in holds.items():
        frame = frames.get(ident)
        while frame is not None:
            if known.get(id(frame.f_code)) == 'condition':
                one = _variable(frame, 'self')
                one = one and _attributes(one[0]) or {}
                lock = id(one.get('_Condition__lock'))
                held[:] = [hold for hold in held if hold[0] != lock]
            frame = frame.f_back
    return holds


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
    return _attributes(_loaded(name)) or {}


def _loaded(name):
    """Return a module that the program has imported, or None."""
    modules = sys.modules
    if type(modules) is dict and type(name) is str:
        module = modules.get(name)
        if type(module) is type(sys):
            return module
    return None


def _text(value):
    """Return a value if it is text, cut where it is long, or None."""
    if type(value) is str or type(value) is unicode:
        return value[:_LONGEST]
    return None


def _number(value):
    """Return a value if it is a number as there may be, or 0."""
    kind = type(value)
    if (kind is int or kind is long) and -_LARGEST < value < _LARGEST:
        return value
    return 0


def _known(threading):
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


def _wait(frame, known, lines):
    """Return what a thread with this innermost frame waits for, or None."""
    what = known.get(id(frame.f_code))
    if what == 'rlock':
        # Where it asks its own lock, and not before or after that.
        asked = _wait_in_call(frame, lines)
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
        return _wait_in_call(frame, lines)
    variables = dict(_variables(frame))
    wait = {'for': what, 'thing': variables.get('self'),
            'limited': variables.get('timeout') is not None}
    # A condition is what the others are made of. It is waited for two frames
    # further out where there is a function between, as _Event has on 2.6.
    outer = frame.f_back
    for _ in range(2):
        what = outer is not None and known.get(id(outer.f_code))
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
        kind = type(queue)
        if kind is list or kind is _deque():
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
        # Unless it only tries.
        if arguments and not (
                arguments[0] is not None and len(arguments[0]) == 1
                and (arguments[0][0] is True or _number(arguments[0][0]) == 1)):
            return None
        return {'for': 'lock', 'thing': thing, 'begins': arguments is None}
    if type(thing) is type(sys):
        # A module's function.
        function = (_attributes(thing) or {}).get(name)
        if type(function) is type(len) and (
                function is _module('time').get('sleep')):
            wait = {'for': 'sleep'}
            if arguments and arguments[0] is not None and len(arguments[0]) == 1:
                seconds = arguments[0][0]
                if type(seconds) is float or _number(seconds):
                    wait['milliseconds'] = int(
                        min(max(seconds, 0), 1e9) * 1000)
            return wait
    return None


def _lock_type():
    return _module('thread').get('LockType')


def _called(frame, lines):
    """Return what the frame is calling, as (object, name of its attribute), and
    the arguments, as values (see below); None for them where a `with` block
    begins. As far as the line that it is in names them plainly: nothing is run
    for it. lines keeps what has been read of code."""
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
        return _bound(_attribute(stack[-1], '__enter__')), None
    # No arguments by name.
    if instruction == _CALL_FUNCTION and argument < min(256, len(stack)):
        stack = stack[len(stack) - argument - 1:]
        if stack[0] is not None and stack[0][1:] == ('__enter__',):
            return _bound(stack[0]), None
        return _bound(stack[0]), stack[1:]
    return None, ()


def _instructions(code, last):
    """Return the instructions of the line that the last one is in, as far as to
    that one, as (instruction, argument). None where that one calls nothing, or
    where it may have been come to in other ways than along the line."""
    text = code.co_code
    if not 0 <= last < len(text) or ord(text[last]) not in (
            _CALL_FUNCTION, _SETUP_WITH):
        return ()
    start = _start_of_line(code, last)
    found = []
    first = start
    if len(text) <= _LONGEST_CODE:
        first = 0
    for position, instruction, argument in _each(text, first):
        if instruction == _EXTENDED_ARG:
            return ()
        if instruction in _JUMPS_BY:
            target = position + 3 + argument
        elif instruction in _JUMPS_TO:
            target = argument
        else:
            target = 0
        if start < target <= last or (
                target and start <= position < last
                and instruction != _SETUP_WITH):
            return ()
        if start <= position <= last:
            found.append((instruction, argument))
        if position >= last and first == start:
            break
    return found


def _each(text, position):
    """Return the instructions of code, as (position, instruction, argument)."""
    found = []
    while position < len(text):
        instruction = ord(text[position])
        if instruction < _HAVE_ARGUMENT:
            found.append((position, instruction, 0))
            position += 1
        elif position + 2 < len(text):
            found.append((
                position, instruction,
                ord(text[position + 1]) + 256 * ord(text[position + 2])))
            position += 3
        else:
            break
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
    found = None
    # Of an argument that is in a cell too, that comes last, and is what counts.
    for known, value in _variables(frame):
        if known == name:
            found = value,
    return found


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
            owner = _loaded(function.__module__)
        return owner, function.__name__
    return value


def _tell(collected, sources, tasks, holder):
    """Return all of it, or None if there is no thread. tasks is what the kernel
    says of the threads; holder is the identifier of the one that held the GIL
    when it was asked for, or 0."""
    threads, places, order, path, more = collected
    if not threads:
        return None
    return {
        'python': sys.version,
        'threads': threads,
        'places': [
            (filename, name, line, _text(source) or '') for (
                filename, name, line, origin), source in zip(places, sources)],
        'more': more,
        'tasks': tasks,
        'holder': holder}
