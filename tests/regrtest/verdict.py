"""Whether a test's outcome differs under the agent, and why."""
import trial

EQUAL, DIFFERENT = 'equal', 'different'
FLAKY, SLOW = 'flaky', 'time-bound'


def differences(one, other):
    """The methods whose outcomes differ (the empty name is the whole test)."""
    return sorted(which for which in set(one) | set(other) if one.get(which) != other.get(which))


class Findings(object):
    """The outcomes of all runs of one test, by the way to run it."""

    def __init__(self, name):
        self.name = name
        self.outcomes = {}

    def enter(self, way, outcome):
        self.outcomes.setdefault(way, []).append(outcome)

    def seen(self, way, which):
        """The outcomes of a method, run by run."""
        return [outcome.get(which, 'not run') for outcome in self.outcomes.get(way, [])]

    def suspicious(self):
        """The methods with an outcome under the agent that the first run without it did not have."""
        plain = self.outcomes[trial.PLAIN][0]
        names = set()
        for way in (trial.ASKED, trial.ASLEEP):
            for outcome in self.outcomes.get(way, []):
                names.update(differences(plain, outcome))
        return sorted(names)

    def verdict(self, which):
        """Why a suspicious method differs: it also has that outcome without the agent, by itself or
        on a busy machine; or it does not."""
        asked = set(self.seen(trial.ASKED, which) + self.seen(trial.ASLEEP, which))
        if asked <= set(self.seen(trial.PLAIN, which)):
            return FLAKY
        if asked <= set(self.seen(trial.PLAIN, which) + self.seen(trial.BUSY, which)):
            return SLOW
        return DIFFERENT

    def whole(self):
        """The verdict on the test: the worst of its methods."""
        found = [self.verdict(which) for which in self.suspicious()]
        for worst in (DIFFERENT, SLOW, FLAKY):
            if worst in found:
                return worst
        return EQUAL

    def settled(self):
        """Whether more runs would show nothing new: the agent is not to blame, or the test always has
        one outcome without it, on a busy machine too, and always the same other outcome with it."""
        if self.whole() in (EQUAL, FLAKY, SLOW):
            return True
        if trial.BUSY not in self.outcomes:
            return False
        for which in self.suspicious():
            without = self.seen(trial.PLAIN, which) + self.seen(trial.BUSY, which)
            if len(set(without)) > 1 or len(set(self.seen(trial.ASKED, which))) > 1:
                return False
        return True

    def explained(self):
        """Lines with the outcomes of each suspicious method, way by way."""
        lines = []
        for which in self.suspicious():
            lines.append('%s: %s' % (which or '(the whole)', self.verdict(which)))
            for way in (trial.PLAIN, trial.BUSY, trial.ASLEEP, trial.ASKED):
                seen = self.seen(way, which)
                if seen:
                    told = ['%d x %s' % (seen.count(one), one) for one in sorted(set(seen))]
                    lines.append('    %-7s %s' % (way, '; '.join(told)))
        return lines
