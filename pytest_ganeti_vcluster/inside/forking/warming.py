"""What libraries do when they are used for the first time, done before programs are forked.

OpenSSL looks up each algorithm when it first wants it, and writes what it has found between all that it knows: a
fifth of what a daemon has for itself would be copies of that. And a daemon that forks for each request, as noded does,
would look them up again for each.
"""

from __future__ import annotations

from typing import Any

#: The key is used once, and nobody gets it: it need not be strong, but making it must not take long.
_KEY_BITS = 768
_ANY_KEY = b"DEFAULT:@SECLEVEL=0"

_LIFETIME = 3600

#: Messages of a handshake, with room.
_MOST_ROUNDS = 20
_MOST_BYTES = 1 << 16


def warm_up() -> None:
    """Have a TLS client and a server of Ganeti's kind (both with a certificate) talk to each other, in memory.

    Raises whatever OpenSSL and its Python modules do; nothing is the worse for it.
    """
    from OpenSSL import SSL, crypto  # type: ignore[import-not-found]

    key = crypto.PKey()
    key.generate_key(crypto.TYPE_RSA, _KEY_BITS)
    certificate = crypto.X509()
    certificate.set_serial_number(1)
    certificate.get_subject().CN = "vcluster"
    certificate.gmtime_adj_notBefore(0)
    certificate.gmtime_adj_notAfter(_LIFETIME)
    certificate.set_issuer(certificate.get_subject())
    certificate.set_pubkey(key)
    certificate.sign(key, "sha256")
    # Ganeti has them in files.
    key_text = crypto.dump_privatekey(crypto.FILETYPE_PEM, key)
    certificate_text = crypto.dump_certificate(crypto.FILETYPE_PEM, certificate)
    ends = []
    for begin in ("set_accept_state", "set_connect_state"):
        context = SSL.Context(SSL.SSLv23_METHOD)
        context.set_cipher_list(_ANY_KEY)
        context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, key_text))
        own = crypto.load_certificate(crypto.FILETYPE_PEM, certificate_text)
        own.digest("sha1")
        context.use_certificate(own)
        context.check_privatekey()
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.add_client_ca(own)
        end = SSL.Connection(context, None)
        getattr(end, begin)()
        ends.append(end)
    server, client = ends
    for _round in range(_MOST_ROUNDS):
        # The client begins.
        done = [_shake(end) for end in (client, server)]
        if not (_pass_on(client, server) | _pass_on(server, client)) and all(done):
            break
    client.send(b"x")
    _pass_on(client, server)
    server.recv(1)
    for end in ends:
        end.shutdown()


def _shake(end: Any) -> bool:
    """Go on with a handshake; whether it is done."""
    from OpenSSL import SSL

    try:
        end.do_handshake()
    except SSL.WantReadError:
        return False
    return True


def _pass_on(sender: Any, receiver: Any) -> bool:
    """Give one end what the other has to say; whether there was something."""
    from OpenSSL import SSL

    try:
        receiver.bio_write(sender.bio_read(_MOST_BYTES))
    except SSL.WantReadError:
        return False
    return True
