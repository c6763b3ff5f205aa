"""Threads trace and profile themselves; they must see their own calls and no others."""
import sys
import torment


def called(number):
    return number + 1


def watch(number):
    events, strange = [], []

    def trace(frame, event, argument):
        if frame.f_code is not called.func_code:
            strange.append(frame.f_code.co_filename)
        events.append(event)
        return trace

    def profile(frame, event, argument):
        # The profiler also sees calls that this function makes after setprofile().
        if event in ('call', 'return') and frame.f_code is called.func_code:
            events.append(event)
        elif frame.f_code is not watch.func_code:
            strange.append(frame.f_code.co_filename)

    for turn in range(200):
        (number % 2 and sys.settrace or sys.setprofile)(number % 2 and trace or profile)
        called(turn)
        (number % 2 and sys.settrace or sys.setprofile)(None)
    expected = number % 2 and ['call', 'line', 'return'] or ['call', 'return']
    torment.check(events == expected * 200, 'other events: %r' % events[:20])
    torment.check(strange == [], 'others were traced: %r' % strange[:3])


torment.steady(lambda: torment.crowd(6, watch))
