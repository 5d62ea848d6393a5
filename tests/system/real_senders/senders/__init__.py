"""The senders by subject. Each file describes some: their bodies and headers, how they sign, and their own libraries.

To add a sender, add it to the `senders` of the file with its subject. A scheme of the binary without a sender fails a
test.
"""

from real_senders.node import Node
from real_senders.sender import Sender
from real_senders.senders import (
    adyen_items,
    code_hosts,
    generic,
    github,
    jwts,
    message_signatures,
    messages,
    operations,
    payments,
    phones,
    rsa,
    shops,
    social,
    standard,
    tokens,
    work,
)

SUBJECTS = [
    github,
    code_hosts,
    payments,
    adyen_items,
    shops,
    messages,
    phones,
    social,
    work,
    operations,
    standard,
    tokens,
    generic,
    rsa,
    message_signatures,
    jwts,
]


def everyone(node: Node) -> list[Sender]:
    return [sender for subject in SUBJECTS for sender in subject.senders(node)]
