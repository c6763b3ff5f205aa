"""Asks while the memory that the walk reads is corrupt. See tests/embedded/corrupt.c.

usage: corrupt.py rounds LIBRARY SEED FIRST COUNT SECONDS | circles LIBRARY FOLDER

rounds: corrupts at random, COUNT times, from round FIRST of SEED on. circles: makes endless
lists, writes each answer to FOLDER/NAME, and prints how many milliseconds it took.
Ends with status 7 if the program's own work is intact.
"""
import ctypes
import gc
import new
import sys
import thread
import time
import traceback

WORD = ctypes.sizeof(ctypes.c_void_p)
# PyThreadState from its first field to thread_id (Include/pystate.h, 2.6 and 2.7).
THREAD_STATE_SIZE = 19 * WORD

library = ctypes.PyDLL(sys.argv[2])
library.ask_with.restype = ctypes.c_char_p

gates, results = [], {}


def deep(left, gate):
    if left:
        return left + deep(left - 1, gate)
    gate.acquire()
    return 0


def long_code():
    # A long line table, with an entry for each line.
    lines = ['def long_code(gate):', ' total = 0']
    lines += [' total += %d' % number for number in range(400)]
    lines += [' gate.acquire()', ' return total']
    namespace = {}
    exec(compile('\n'.join(lines), 'made up.py', 'exec'), namespace)
    return namespace['long_code']


def renamed(function, name, line_table):
    code = function.func_code
    return new.function(new.code(
        code.co_argcount, code.co_nlocals, code.co_stacksize, code.co_flags, code.co_code,
        code.co_consts, code.co_names, code.co_varnames, code.co_filename, name,
        code.co_firstlineno, line_table), globals())


def start(work, *arguments):
    gate = thread.allocate_lock()
    gate.acquire()

    def body(number):
        data = ['%d' % number] * 50
        results[number] = work(*(arguments + (gate,))), ''.join(data)

    thread.start_new_thread(body, (len(gates),))
    gates.append(gate)


def wait_until_blocked():
    seen = []
    while len(seen) < 5 or seen[-1] != seen[-4]:
        seen.append(sorted((ident, id(frame), frame.f_lasti)
                           for ident, frame in sys._current_frames().items()
                           if ident != thread.get_ident()))
        time.sleep(0.05)
    assert len(seen[-1]) == len(gates), seen[-1]


def thread_states():
    api = ctypes.pythonapi
    for name in ('PyInterpreterState_Head', 'PyInterpreterState_ThreadHead', 'PyThreadState_Next'):
        getattr(api, name).restype = ctypes.c_void_p
    interpreter = api.PyInterpreterState_Head()
    found = [api.PyInterpreterState_ThreadHead(ctypes.c_void_p(interpreter))]
    while found[-1]:
        found.append(api.PyThreadState_Next(ctypes.c_void_p(found[-1])))
    return interpreter, found[:-1]


def stack(frame):
    found = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found


def word_at(address):
    return ctypes.c_size_t.from_address(address).value


def place_of(value, start, size):
    """The address of a pointer within an object, found without knowing the layout.

    The last match: in debug builds objects begin with pointers to the previous and next object.
    """
    return [at for at in range(start, start + size, WORD) if word_at(at) == value][-1]


def all_objects():
    """The objects that the walk reads, as pairs of address and size; those without size come last."""
    found = {}
    for frame in sum([stack(one) for one in sys._current_frames().values()], []):
        code = frame.f_code
        for one in (frame, code):
            found[id(one)] = type(one).__basicsize__
        for one in (code.co_filename, code.co_name, code.co_lnotab):
            found[id(one)] = str.__basicsize__ + len(one)
    interpreter, states = thread_states()
    own = ctypes.pythonapi.PyThreadState_Get
    own.restype = ctypes.c_void_p
    for one in states:
        # The GIL holder itself needs its thread state: only the first three words may be overwritten.
        found[one] = one == own() and 3 * WORD or THREAD_STATE_SIZE
    found[interpreter] = 2 * WORD
    pairs = sorted(found.items())
    return pairs + [(id(one), 0) for one in (type(sys._getframe()), type(code), str, object, None)]


def array(pairs):
    flat = [number for pair in pairs for number in pair]
    return (ctypes.c_size_t * len(flat))(*flat)


class Statistics(ctypes.Structure):
    _fields_ = ([(name, ctypes.c_uint64) for name in ('rounds', 'differed', 'torn', 'largest')]
                + [(name, ctypes.c_double) for name in ('longest', 'total')])


def ask_with(*pokes):
    taken = ctypes.c_double()
    text = library.ask_with(array(pokes), ctypes.c_size_t(len(pokes)), ctypes.byref(taken))
    return text, taken.value


def expected_lines():
    """For each other thread, its frames as the walk must show them."""
    return [''.join(['  File "%s", line %d, in %s\n' % entry[:3] for entry in traceback.extract_stack(frame)])
            for ident, frame in sys._current_frames().items() if ident != thread.get_ident()]


def rounds():
    seed, first, count = [int(argument) for argument in sys.argv[3:6]]
    text, _ = ask_with()
    for lines in expected_lines():
        assert lines in text, (lines, text)
    del lines
    pairs = all_objects()
    library.know(array(pairs), ctypes.c_size_t(len(pairs)))
    told = Statistics()
    library.run_rounds(
        ctypes.c_uint64(seed), ctypes.c_uint64(first), ctypes.c_uint64(count),
        ctypes.c_double(float(sys.argv[6])), ctypes.byref(told))
    for name, _ in Statistics._fields_:
        sys.stdout.write('%s %d\n' % (name, getattr(told, name)))


def circles():
    frames = [stack(frame) for ident, frame in sorted(sys._current_frames().items())
              if ident != thread.get_ident()]
    recursion = [one for one in frames if len(one) > 8][0]
    interpreter, states = thread_states()

    def back(frame):
        return place_of(id(frame.f_back), id(frame), type(frame).__basicsize__)

    def next_state(index):
        return place_of(states[index + 1], states[index], WORD)

    def innermost(index):
        frame = word_at(states[index] + 2 * WORD)
        return [one[0] for one in frames if id(one[0]) == frame][0]

    # The last in the list is the main thread, the others are the started threads.
    every_frame = [(back(innermost(index)), id(innermost(index))) for index in range(len(states) - 1)]
    cases = [
        ('frame_itself', [(back(recursion[0]), id(recursion[0]))]),
        ('frames_two', [(back(recursion[1]), id(recursion[0]))]),
        ('frames_behind_a_tail', [(back(recursion[6]), id(recursion[3]))]),
        ('frames_of_all', every_frame[:8]),
        ('thread_itself', [(next_state(0), states[0])]),
        ('threads_two', [(next_state(1), states[0])]),
        ('threads_behind_a_tail', [(next_state(3), states[2])]),
        ('interpreter_itself', [(interpreter, interpreter)]),
        ('thread_and_frame', [(next_state(0), states[0]), every_frame[0]]),
    ]
    whole = None
    for name, pokes in cases:
        # Both answers come from one line, because this frame is in them.
        (text, taken), (mended, _) = [ask_with(*some) for some in (pokes, ())]
        whole = whole or mended
        assert text != whole and mended == whole, name
        open('%s/%s' % (sys.argv[3], name), 'wb').write(text)
        sys.stdout.write('took %s %d\n' % (name, taken))
    lookups_without_end()


def lookups_without_end():
    """Each frame's line is at the end of a line table of a megabyte."""
    endless = renamed(endless_deep, 'endless_deep', '\0' * (1 << 20))
    globals()['endless_deep'] = endless
    for _ in range(3):
        start(endless, 700)
    wait_until_blocked()
    text, taken = ask_with()
    open(sys.argv[3] + '/line_tables', 'wb').write(text)
    sys.stdout.write('took line_tables %d\n' % taken)


def endless_deep(left, gate):
    if left:
        return left + endless_deep(left - 1, gate)
    gate.acquire()
    return 0


def main():
    start(deep, 0)
    start(deep, 9)
    start(long_code())
    start(renamed(deep, 'a name of some length' * 40, deep.func_code.co_lnotab), 2)
    start(deep, 1)
    wait_until_blocked()
    globals()[sys.argv[1]]()
    for gate in gates:
        gate.release()
    while len(results) < len(gates):
        time.sleep(0.01)
    expected = [0, 45, 79800, 3, 1] + [245350] * (len(gates) - 5)
    assert [results[number] for number in range(len(gates))] == [
        (value, str(number) * 50) for number, value in enumerate(expected)], results
    gc.collect()
    sys.stdout.write('intact\n')
    sys.exit(7)


main()
