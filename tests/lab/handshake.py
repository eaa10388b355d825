"""Deeds of the handshake: the certificates that are shown and demanded, versions, ciphers, ALPN."""
import ssl

import certificates
from deeds import deed

# All that OpenSSL can do: what is refused is refused by the other side.
ANYTHING = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
VERSIONS = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1,
            "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def context_of(certificate, protocols):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(ANYTHING)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.load_cert_chain(certificate.crt, certificate.key)
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


@deed(r"certificate (?P<kind>.+)", "turn")
def certificate(kind):
    """One of certificates.py; before the other deeds of the handshake."""
    if kind not in certificates.KINDS:
        raise ValueError(f"no such certificate: {kind}")

    def act(upstream):
        maker = certificates.Maker.beside(upstream.certificate)
        upstream.context = context_of(maker.shown(kind), [upstream.kind.ALPN])
    return act


def changed(upstream):
    """A context of its own, to be changed."""
    if upstream.context is upstream.first_context:
        upstream.context = context_of(upstream.certificate, [upstream.kind.ALPN])
    return upstream.context


@deed(r"only TLS (?P<version>1\.[0-3])", "turn")
def only_version(version):
    def act(upstream):
        context = changed(upstream)
        context.minimum_version = context.maximum_version = VERSIONS[version]
    return act


@deed(r"cipher (?P<name>\S+)", "turn")
def cipher(name):
    """This one alone, in TLS 1.2."""
    def act(upstream):
        context = changed(upstream)
        context.minimum_version = context.maximum_version = VERSIONS["1.2"]
        context.set_ciphers(name + ":@SECLEVEL=0")
    return act


@deed(r"alpn (?P<name>\S+)", "turn")
def alpn(name):
    """What it speaks; none: it knows nothing of ALPN."""
    def act(upstream):
        upstream.context = context_of(upstream.certificate, [] if name == "none" else [name])
    return act


@deed(r"(?P<how>demands|asks for) (?P<what>a|an unrevoked) certificate"
      r"(?P<other> of another authority)?", "turn")
def client_certificate(how, what, other):
    """Of clients. A verdict on it comes as an alert: in TLS 1.3 after their handshake."""
    def act(upstream):
        context = changed(upstream)
        maker = certificates.Maker.beside(upstream.certificate)
        context.load_verify_locations(maker.clients_root() if other else maker.root.crt)
        context.verify_mode = ssl.CERT_REQUIRED if how == "demands" else ssl.CERT_OPTIONAL
        if what == "an unrevoked":
            context.load_verify_locations(maker.revoked())
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return act
