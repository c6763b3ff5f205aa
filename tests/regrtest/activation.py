"""Activates processes all the time, and counts the outcomes."""
import os
import random
import re
import subprocess
import tempfile

import processes


# A process is loaded into once it has lived for so many seconds.
OLD_ENOUGH = 0.05


class Account(object):
    """The number of activations, and their outcomes."""

    def __init__(self):
        self.answered = self.from_memory = self.told_why_not = self.refused = 0
        self.reasons = {}
        self.alarming = []

    def total(self):
        return self.answered + self.from_memory + self.told_why_not + self.refused

    def states(self):
        return self.answered + self.from_memory

    def enter(self, status, out, err):
        first = out.split('\n', 1)[0]
        if status == 0 and first.startswith('### Thread '):
            self.answered += 1
            return
        if status == 0 and first.startswith('### Read from memory'):
            self.from_memory += 1
            reason = first
        elif status == 0:
            self.told_why_not += 1
            reason = 'answer: ' + first
        else:
            self.refused += 1
            reason = 'refused: ' + err.strip().replace('\n', ' | ')
        for pattern, instead in ((r'^refused: sleeper_agent_activate: PID \d+: ', 'refused: '),
                                 (r'\([^()]*\)', '(...)'), (r'0x[0-9a-f]+', '#'), (r'\d+', '#')):
            reason = re.sub(pattern, instead, reason)
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        if not out and not err or 'panic' in out + err or status not in (0, 1):
            self.alarming.append('status %s: %s%s' % (status, first, err.strip()))

    def add(self, other):
        for name in ('answered', 'from_memory', 'told_why_not', 'refused'):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for reason in other.reasons:
            self.reasons[reason] = self.reasons.get(reason, 0) + other.reasons[reason]
        self.alarming += other.alarming


class Loop(object):
    """One activation after another, of a process and its descendants in turn."""

    def __init__(self, product, pid, mark):
        self.product, self.pid, self.mark = product, pid, mark
        self.account = Account()
        self.running = None
        self.main_is_next = True

    def step(self):
        """Records an ended activation, and starts the next."""
        self.settle()
        if self.running is None:
            chosen = self.choose()
            if chosen is not None:
                self.start(chosen)

    def settle(self):
        """Records an ended activation; returns whether none is left."""
        if self.running and self.running[0].poll() is not None:
            activator, out, err = self.running
            out.seek(0)
            err.seek(0)
            self.account.enter(activator.returncode, out.read(), err.read())
            out.close()
            err.close()
            self.running = None
        return self.running is None

    def choose(self):
        carriers = [one for one in processes.family(self.pid, self.mark) if self.may_be_asked(one)]
        others = [one for one in carriers if one != self.pid]
        if others and not (self.main_is_next and self.pid in carriers):
            self.main_is_next = True
            return random.choice(others)
        self.main_is_next = False
        if self.pid in carriers:
            return self.pid
        return None

    def may_be_asked(self, pid):
        if self.product.loads:
            return (processes.runs(pid, self.product.python)
                    and processes.age(pid) >= OLD_ENOUGH)
        return processes.carries(pid, self.product.library)

    def start(self, pid):
        # Files, not pipes: nobody reads them meanwhile.
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        options = self.product.loads and ['--load'] or []
        activator = subprocess.Popen([self.product.activator] + options + [str(pid)], stdout=out,
                                     stderr=err, stdin=open('/dev/null'), close_fds=True,
                                     env=dict(os.environ, SLEEPER_AGENT_LIB=self.product.library))
        self.running = activator, out, err
