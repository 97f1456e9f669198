#!/usr/bin/python3
"""noise_again - makes the handshakes of noise.txt once more, with Debian's dissononce.

    noise_again.py NOISE_TXT

Takes keys, prologues and payloads from the file and prints the whole file as it should be. dissononce
and flynn/noise, which made it, have nothing in common; the primitives under this one are libcrypto's.
"""

import sys

from dissononce.cipher.chachapoly import ChaChaPolyCipher
from dissononce.dh.keypair import KeyPair
from dissononce.dh.private import PrivateKey
from dissononce.dh.x25519.public import PublicKey
from dissononce.dh.x25519.x25519 import X25519DH
from dissononce.hash.blake2s import Blake2sHash
from dissononce.processing.handshakepatterns.interactive.IK import IKHandshakePattern
from dissononce.processing.handshakepatterns.interactive.NK import NKHandshakePattern
from dissononce.processing.impl.cipherstate import CipherState
from dissononce.processing.impl.handshakestate import HandshakeState
from dissononce.processing.impl.symmetricstate import SymmetricState

PATTERNS = {"1": NKHandshakePattern, "2": IKHandshakePattern}


class FixedDH(X25519DH):
    """Its ephemeral key is no surprise."""

    def __init__(self, ephemeral):
        super().__init__()
        self.ephemeral = ephemeral

    def generate_keypair(self, privatekey=None):
        return super().generate_keypair(privatekey or PrivateKey(self.ephemeral))


def end_of(story, pattern, initiator, **keys):
    dh = FixedDH(story["initiator_ephemeral" if initiator else "responder_ephemeral"])
    state = HandshakeState(SymmetricState(CipherState(ChaChaPolyCipher()), Blake2sHash()), dh)
    state.initialize(pattern(), initiator, story["prologue"], **keys)
    return state


def pair_of(private):
    return X25519DH().generate_keypair(PrivateKey(private))


def key_of(cipher):
    return bytes(cipher._key)  # pylint: disable=protected-access


def said(story, number):
    """All that noise.txt has of this handshake behind its keys."""
    server = pair_of(story["server_private"])
    client = pair_of(story["client_private"]) if number == "2" else None
    up = end_of(story, PATTERNS[number], True, rs=PublicKey(server.public.data), **({"s": client} if client else {}))
    down = end_of(story, PATTERNS[number], False, s=server)
    made = {"server_public": server.public.data}
    if client:
        made["client_public"] = client.public.data
    for which, sender, receiver in (("1", up, down), ("2", down, up)):
        message, payload = bytearray(), bytearray()
        sent = sender.write_message(story["payload" + which], message)
        read = receiver.read_message(bytes(message), payload)
        assert bytes(payload) == story["payload" + which], "the payload did not arrive"
        made["message" + which] = bytes(message)
        made["h" if which == "2" else "h1"] = receiver.symmetricstate.get_handshake_hash()
    made["up"], made["down"] = key_of(sent[0]), key_of(sent[1])
    assert [key_of(c) for c in read] == [made["up"], made["down"]], "the ends have other keys"
    return made


def flush(order, story, number):
    if order:
        story.update(said(story, number))
    for key in order:
        value = story[key]
        print(f"{key}: {value if isinstance(value, str) else bytes(value).hex()}".rstrip())


GIVEN = ("prologue", "server_private", "client_private", "initiator_ephemeral", "responder_ephemeral", "payload1",
         "payload2")  # fmt: skip


def main(path):
    order, story, number = [], {}, ""
    with open(path, encoding="ascii") as lines:
        for line in lines:
            line = line.rstrip("\n")
            if line.startswith("#"):
                print(line)
                continue
            key, _, value = line.partition(":")
            value = value.strip()
            if key == "handshake":
                flush(order, story, number)
                order, story = [], {}
            order.append(key)
            if key == "pattern":
                number = value
            if key in ("handshake", "pattern"):
                story[key] = value
            elif key in GIVEN:
                story[key] = bytes.fromhex(value)
    flush(order, story, number)


if __name__ == "__main__":
    main(sys.argv[1])
