"""The promises, as functions of the ledgers. Each returns what contradicts its promise, a line for each finding.

The names L1 to L10 are those of the table in `docs/explain/how-it-is-tested.md`.
"""

from collections import Counter, defaultdict
from itertools import pairwise

from cluster.kinds import KINDS

MARGIN = 2
"""Seconds around a fault in which a sender may be answered 503."""
SKEW = 1000
"""Milliseconds by which the store's clock may differ from that of a run."""
ON_NODES = ("kill", "down", "term", "freeze", "cut")
"""Faults by which a daemon may lose its leases. `kill` lasts until its processes are gone, `down` until it is ready."""


def every_check(evidence, lease, healed):
    """The findings of all checks of a cluster that has become quiet after `healed`."""
    return {
        "L1": lost(evidence),
        "L2": taken_twice(evidence),
        "L3": halves(evidence),
        "L4": performed_twice(evidence, lease),
        "L5": overlaps(evidence, lease),
        "L6": inversions(evidence),
        "L7": not_newest(evidence),
        "L8": late(evidence, lease, healed),
        "L9": unexplained_refusals(evidence),
    }


def lost(evidence):
    """L1: what was answered `accepted` is there as a whole and has ended; what is done has been performed."""
    stored = evidence.stored
    deliveries = {(delivery.event, delivery.rule): delivery for delivery in stored.deliveries}
    performed = {run.delivery for run in evidence.runs if run.outcome == "done"}
    findings = []
    for sent in evidence.sent:
        if not (sent.answer and sent.answer.word == "accepted"):
            continue
        event, kind = sent.answer.event, KINDS[sent.kind]
        name = f"{sent.number} ({sent.kind}), event {event}"
        if event not in stored.events:
            findings.append(f"{name}: the event is not there")
            continue
        if event not in stored.requests:
            findings.append(f"{name}: its request is not there")
        for rule in kind.rules:
            delivery = deliveries.get((event, rule))
            if (event, rule) not in stored.keys:
                findings.append(f"{name}: no dedup key for {rule}")
            if delivery is None:
                findings.append(f"{name}: no delivery for {rule}")
            elif delivery.state not in kind.ends:
                findings.append(f"{name}: the delivery for {rule} is {delivery.state}")
            elif delivery.state == "done" and delivery.id not in performed:
                findings.append(f"{name}: {rule} is done and was never performed")
    return findings


def taken_twice(evidence):
    """L2: at most one event for each number; a `duplicate` names an event that is there, and the right one."""
    events = evidence.stored.events
    many = Counter(events.values())
    findings = [f"{number}: {count} events" for number, count in many.items() if count > 1]
    for sent in evidence.sent:
        if sent.answer and sent.answer.word == "duplicate" and events.get(sent.answer.event) != sent.number:
            findings.append(f"{sent.number}: duplicate of {sent.answer.event}, which is not its event")
    return findings


def halves(evidence):
    """L3: no event without all of its parts, no part without its event, and sums that agree with counts."""
    stored = evidence.stored
    kinds = {sent.number: KINDS[sent.kind] for sent in evidence.sent}
    rules = defaultdict(set)
    for delivery in stored.deliveries:
        rules[delivery.event].add(delivery.rule)
    findings = [
        f"delivery to {delivery.rule} of a missing event"
        for delivery in stored.deliveries
        if delivery.event not in stored.events
    ]
    findings += [f"request of a missing event {event}" for event in stored.requests - stored.events.keys()]
    findings += [
        f"dedup key of a missing event {event}" for event in {event for event, _ in stored.keys} - stored.events.keys()
    ]
    for event, number in stored.events.items():
        expected = set(kinds[number].rules) if number in kinds else set()
        if rules[event] != expected:
            findings.append(f"event {event} of {number}: deliveries for {sorted(rules[event])}, not {sorted(expected)}")
        if event not in stored.requests:
            findings.append(f"event {event} of {number}: no request")
        if any((event, rule) not in stored.keys for rule in expected):
            findings.append(f"event {event} of {number}: no dedup key")
    for name, count in stored.counts.items():
        if stored.sums.get(name) != count:
            findings.append(f"{name}: the sum is {stored.sums.get(name)}, the count {count}")
    return findings


def performed_twice(evidence, lease):
    """L4: an attempt is written once, and performed again only if its node may have lost its lease."""
    written = Counter(
        (attempt.delivery, attempt.action, attempt.number)
        for attempt in evidence.stored.attempts
        if attempt.outcome not in ("interrupted", "stopped")
    )
    findings = [f"attempt {key} was written {count} times" for key, count in written.items() if count > 1]
    runs = defaultdict(list)
    for run in evidence.runs:
        runs[run.delivery, run.attempt].append(run)
    for (delivery, attempt), several in runs.items():
        for earlier, later in pairwise(sorted(several, key=lambda run: run.start)):
            if not hit(evidence, earlier.node, earlier.start - lease, later.start):
                findings.append(
                    f"attempt {attempt} of {delivery} ({earlier.rule}) ran on {earlier.node}, and "
                    f"{later.start - earlier.start:.2f} s later on {later.node}, without a fault"
                )
    ended = {delivery.id: delivery for delivery in evidence.stored.deliveries if delivery.state == "done"}
    for run in evidence.runs:
        delivery = ended.get(run.delivery)
        if (
            delivery
            and run.clock > delivery.ended_at + SKEW
            and not hit(evidence, run.node, run.start - 2 * lease, run.start)
        ):
            findings.append(
                f"{run.delivery} ({run.rule}) ran on {run.node} {run.clock - delivery.ended_at:.0f} ms after its end"
            )
    return findings


def hit(evidence, node, begin, end, what=ON_NODES):
    """Whether a fault of these kinds hit the node in this time."""
    return any(
        fault.what in what and fault.target == node and fault.begin <= end and fault.end >= begin
        for fault in evidence.faults
    )


def end_of(evidence, run):
    """The end of a run: its own, or that of the daemon that was killed with it."""
    if run.end is not None:
        return run.end
    kills = [fault for fault in evidence.faults if fault.what == "kill" and fault.target == run.node]
    return min((max(fault.begin, run.start) for fault in kills if fault.end >= run.start), default=float("inf"))


def overlaps(evidence, lease):
    """L5: at most `limit` runs of a group at once, except beside a daemon that was frozen for longer than its lease."""
    lanes = {sent.number: sent.lane for sent in evidence.sent}
    limits = {rule: kind.limit for kind in KINDS.values() for rule in kind.rules if kind.limit}
    changes = defaultdict(list)
    for run in evidence.runs:
        end = end_of(evidence, run)
        # A run that was killed at its start has no length.
        if run.rule not in limits or end == run.start or hit(evidence, run.node, run.start - lease, end, ("freeze",)):
            continue
        lane = lanes.get(evidence.stored.events.get(run.event))
        # An end comes before a start of the same moment.
        changes[run.rule, lane] += [(run.start, 1, run), (end, -1, run)]
    findings = []
    for (rule, lane), moments in changes.items():
        running = set()
        for at, change, run in sorted(moments, key=lambda moment: moment[:2]):
            if change < 0:
                running.discard(run)
                continue
            running.add(run)
            if len(running) > limits[rule]:
                beside = ", ".join(f"{other.node} since {other.start:.2f}" for other in running if other is not run)
                findings.append(f"{rule} {lane}: {len(running)} at once at {at:.2f}: {run.node} beside {beside}")
    return findings


def first_starts(evidence):
    """The first start of each delivery's action."""
    starts = {}
    for run in evidence.runs:
        starts[run.event, run.rule] = min(run.start, starts.get((run.event, run.rule), run.start))
    return starts


def inversions(evidence):
    """L6: if an event is answered before another one of its lane is sent, it is stored and started before it."""
    starts = first_starts(evidence)
    answered, begun, lanes = {}, {}, defaultdict(set)
    for sent in evidence.sent:
        if KINDS[sent.kind].lanes:
            lanes[sent.kind, sent.lane].add(sent.number)
            begun[sent.number] = min(sent.begin, begun.get(sent.number, sent.begin))
            if sent.answer and sent.answer.succeeded:
                answered[sent.number] = min(sent.answer.at, answered.get(sent.number, sent.answer.at))
    places = defaultdict(dict)
    for delivery in evidence.stored.deliveries:
        number = evidence.stored.events.get(delivery.event)
        places["stored"][number] = delivery.seq
        if (start := starts.get((delivery.event, delivery.rule))) is not None:
            places["started"][number] = start
    findings = []
    for (kind, lane), numbers in lanes.items():
        for what in ("stored", "started") if KINDS[kind].ordered else ("stored",):
            order = sorted((number for number in numbers if number in places[what]), key=places[what].get)
            for index, number in enumerate(order):
                wrong = [other for other in order[index + 1 :] if answered.get(other, begun[number]) < begun[number]]
                findings += [f"{kind} {lane}: {number} was {what} before {other}" for other in wrong]
    return findings


def not_newest(evidence):
    """L7: where a newer event supersedes the older ones, the newest of each lane is done, and is started last."""
    lanes = {sent.number: (sent.kind, sent.lane) for sent in evidence.sent if KINDS[sent.kind].newest}
    starts = first_starts(evidence)
    taken = defaultdict(list)
    for delivery in evidence.stored.deliveries:
        number = evidence.stored.events.get(delivery.event)
        if number in lanes:
            taken[lanes[number]].append((delivery.seq, number, delivery))
    never = float("-inf")
    findings = []
    for (kind, lane), deliveries in taken.items():
        *others, (_, number, newest) = sorted(deliveries, key=lambda one: one[0])
        if newest.state != "done":
            findings.append(f"{kind} {lane}: the newest, {number}, is {newest.state}")
        start = starts.get((newest.event, newest.rule), never)
        for _, other, delivery in others:
            if starts.get((delivery.event, delivery.rule), never) > start:
                findings.append(f"{kind} {lane}: {other} started after the newest, {number}")
    return findings


def late(evidence, lease, healed):
    """L8: all has ended within lease + 10 s after the last fault. `healed` is that moment on the wall clock, in ms."""
    limit = healed + 1000 * (lease + 10)
    findings = []
    for delivery in evidence.stored.deliveries:
        if delivery.ended_at is None:
            findings.append(f"{delivery.id} ({delivery.rule}) is {delivery.state}")
        elif delivery.ended_at > limit:
            after = (delivery.ended_at - healed) / 1000
            findings.append(f"{delivery.id} ({delivery.rule}) ended {after:.1f} s after the last fault")
    return findings


def gaps(evidence, limit):
    """L8: after a failover, events are accepted within `limit` seconds."""
    accepted = sorted(sent.answer.at for sent in evidence.sent if sent.answer and sent.answer.word == "accepted")
    findings = []
    for fault in evidence.faults:
        if fault.what == "failover":
            after = next((at for at in accepted if at >= fault.end), None)
            if after is None or after - fault.end > limit:
                gap = "never" if after is None else f"{after - fault.end:.2f} s"
                findings.append(f"failover at {fault.begin:.2f}: accepted {gap} after the promotion")
    return findings


def unexplained_refusals(evidence):
    """L9: no request fails outside of a fault."""
    findings = []
    for sent in evidence.sent:
        if sent.answer is None or sent.answer.succeeded:
            continue
        if not any(
            fault.begin - MARGIN <= sent.answer.at and sent.begin <= fault.end + MARGIN for fault in evidence.faults
        ):
            findings.append(
                f"{sent.number} ({sent.kind}): {sent.answer.status} {sent.answer.word} at {sent.answer.at:.2f}"
            )
    return findings


def waits(evidence, kind):
    """Seconds from the first success to the first start, of all events of a kind that were performed."""
    starts, answered = first_starts(evidence), {}
    for sent in evidence.sent:
        if sent.kind == kind and sent.answer and sent.answer.succeeded:
            answered[sent.answer.event] = min(sent.answer.at, answered.get(sent.answer.event, sent.answer.at))
    rule = KINDS[kind].rules[0]
    return [starts[event, rule] - at for event, at in answered.items() if (event, rule) in starts]


def unfair(alone, beside, factor=2, bound=1.0):
    """L10: a flood for a slow rule lengthens the waits for another rule, at the 99th percentile, at most by a factor.

    `alone` and `beside` are waits without and with the flood. Waits below `bound` are short enough on any machine.
    """
    before, after = percentile(alone, 0.99), percentile(beside, 0.99)
    if after <= max(factor * before, bound):
        return []
    return [f"99th percentile of the wait: {before:.3f} s alone, {after:.3f} s beside the flood"]


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]
