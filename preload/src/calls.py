# What a frame is calling, as its code says: a part of facts.py.

# Instructions (Include/opcode.h); 2.6 has no SETUP_WITH.
_POP_TOP, _ROT_TWO, _DUP_TOP, _HAVE_ARGUMENT = 1, 2, 4, 90
_STORE_NAME = 90
_LOAD_CONST, _LOAD_NAME, _LOAD_ATTR = 100, 101, 106
_LOAD_GLOBAL, _LOAD_FAST, _STORE_FAST = 116, 124, 125
_IMPORT_NAME = 108
_CALL_FUNCTION, _LOAD_DEREF, _SETUP_WITH = 131, 136, 143
_JUMPS_BY = 93, 110, 120, 121, 122, 143
_JUMPS_TO = 111, 112, 113, 114, 115, 119
_EXTENDED_ARG = 145
if sys.version_info < (2, 7):
    _LOAD_ATTR, _SETUP_WITH, _EXTENDED_ARG = 105, None, 143
    _IMPORT_NAME = 107
    _JUMPS_BY, _JUMPS_TO = (93, 110, 111, 112, 120, 121, 122), (113, 119)

# Of longer code nothing is told: all of it would have to be looked through for jumps
# into the line from elsewhere.
_LONGEST_CODE = 8000


def _called(frame, lines):
    """Return what the frame is calling, as (object, name of its attribute), and
    the arguments, as values (see below); None for them where a `with` block
    begins. As far as the line that it is in names them plainly: nothing is run
    for it. lines keeps what has been read of code."""
    code = frame.f_code
    # Not by the code itself: it compares by value, which takes long.
    last = frame.f_lasti
    key = id(code), last
    found = lines.get(key)
    if found is None:
        found = lines[key] = _instructions(code, last)
    if not found:
        return None, ()
    stack = []
    for instruction, argument in found[:-1]:
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
    instruction, argument = found[-1]
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
    if len(text) > _LONGEST_CODE or not 0 <= last < len(text) or (
            ord(text[last]) not in (_CALL_FUNCTION, _SETUP_WITH)):
        return ()
    start = _start_of_line(code, last)
    found = []
    for position, instruction, argument in _each(text):
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
    return found


def _each(text):
    """Return the instructions of code, as (position, instruction, argument)."""
    found = []
    position = 0
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


def _global(frame, name):
    for namespace in (
            not frame.f_code.co_flags & 2 and frame.f_locals,
            frame.f_globals, frame.f_builtins):
        found = _item(namespace, name)
        if found is not None:
            return found
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
