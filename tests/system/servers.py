"""Real servers for tests, bench and the demo: certificates, a zone, and who serves it: unbound,
dnsdist, knot-resolver; nginx, haproxy and stunnel before them.

Standard library only. Every server runs in its own directory, is ended by its process id, and dies
with the process that started it.
"""
import base64
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

ADMIN_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin"


class StartError(Exception):
    """A server did not come up; the text holds the end of its log."""


def program(name):
    return shutil.which(name, path=ADMIN_PATH)


def wait_until(condition, seconds=10, step=0.01, what="condition"):
    """Polls until the condition holds and returns its value; TimeoutError if it never does."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(step)


def bracketed(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def free_port(address="127.0.0.1"):
    """A port that is free for UDP and TCP now."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    while True:
        with socket.socket(family, socket.SOCK_STREAM) as tcp, \
                socket.socket(family, socket.SOCK_DGRAM) as udp:
            tcp.bind((address, 0))
            port = tcp.getsockname()[1]
            try:
                udp.bind((address, port))
            except OSError:
                continue
            return port


def accepts(address, port):
    """Is somebody listening on this TCP port?"""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(1)
        return s.connect_ex((address, port)) == 0


class Process:
    """A child with its own log file, ended by its process id."""

    def __init__(self, name, argv, directory, env=None, logname=None, **popen):
        self.name = name
        self.log = Path(directory) / (logname or f"{name}.log")
        if shutil.which("setpriv"):
            argv = ["setpriv", "--pdeathsig", "KILL", "--", *argv]
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen(
                argv, cwd=directory, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=env, start_new_session=True, **popen)

    @property
    def pid(self):
        return self.child.pid

    def running(self):
        return self.child.poll() is None

    def text(self):
        return self.log.read_text(errors="replace")

    def send(self, number):
        self.child.send_signal(number)

    def ready(self, condition, seconds=20):
        """Waits for the condition; an end of the process before it is an error with its log."""
        def check():
            if not self.running():
                raise StartError(f"{self.name} ended with {self.child.returncode}:\n"
                                 + self.text()[-2000:])
            return condition()
        try:
            wait_until(check, seconds, what=f"{self.name} is ready")
        except TimeoutError as error:
            self.stop()
            raise StartError(f"{error}\n{self.text()[-2000:]}") from error

    def stop(self, number=signal.SIGTERM, seconds=5):
        """Ends it, harder if it does not listen; returns its exit code."""
        if self.running():
            self.child.send_signal(signal.SIGCONT)
            self.child.send_signal(number)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        return self.child.returncode


# ---- certificates ----

CA_CONFIG = """[ca]
default_ca = d
[d]
dir = .
database = index.txt
serial = serial
new_certs_dir = .
certificate = {name}.crt
private_key = {name}.key
default_md = sha256
policy = p
unique_subject = no
copy_extensions = copy
x509_extensions = leaf
[p]
commonName = supplied
[leaf]
basicConstraints = CA:FALSE
[req]
distinguished_name = dn
prompt = no
[dn]
CN = {name}
[ca_ext]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""


class Certificate:
    def __init__(self, crt, key):
        self.crt, self.key = Path(crt), Path(key)

    def pin(self):
        """base64 of SHA-256 over the SubjectPublicKeyInfo [RFC 7858 §4.2]."""
        public = openssl("x509", "-in", self.crt, "-noout", "-pubkey")
        der = openssl("pkey", "-pubin", "-outform", "DER", data=public)
        digest = openssl("dgst", "-sha256", "-binary", data=der)
        return openssl("base64", "-A", data=digest).decode().strip()

    def serial(self):
        """In hexadecimal."""
        return openssl("x509", "-in", self.crt, "-noout", "-serial").decode().strip().split("=")[1]


def openssl(*argv, cwd=None, data=None):
    done = subprocess.run(["openssl", *map(str, argv)], cwd=cwd, input=data,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {' '.join(map(str, argv))}:\n{done.stderr.decode()}")
    return done.stdout


class CA:
    """A throw-away certificate authority."""

    def __init__(self, directory, name="throw-away-ca"):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.crt = self.dir / f"{name}.crt"
        (self.dir / "ca.cnf").write_text(CA_CONFIG.format(name=name))
        (self.dir / "index.txt").write_text("")
        (self.dir / "serial").write_text("1000\n")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "30",
                "-config", "ca.cnf", "-extensions", "ca_ext", cwd=self.dir)

    def issue(self, label, names, start=None, end=None, kind="ec"):
        """A certificate for these names and addresses; start, end: YYYYMMDDHHMMSSZ; kind of its
        key: ec, rsa:2048, ed25519."""
        san = ",".join(("IP:" if is_address(n) else "DNS:") + n for n in names)
        curve = ["-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else []
        openssl("req", "-newkey", kind, *curve, "-nodes", "-keyout", f"{label}.key",
                "-out", f"{label}.csr", "-subj", f"/CN={label}",
                "-addext", f"subjectAltName={san}", cwd=self.dir)
        span = ["-startdate", start, "-enddate", end] if start else ["-days", "20"]
        openssl("ca", "-batch", "-notext", "-config", "ca.cnf", "-in", f"{label}.csr",
                "-out", f"{label}.crt", *span, cwd=self.dir)
        return Certificate(self.dir / f"{label}.crt", self.dir / f"{label}.key")

    def expired(self, label, names):
        return self.issue(label, names, "20200101000000Z", "20200201000000Z")

    def self_signed(self, label, names):
        san = ",".join(("IP:" if is_address(n) else "DNS:") + n for n in names)
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", f"{label}.key", "-out", f"{label}.crt", "-days", "20",
                "-subj", f"/CN={label}", "-addext", f"subjectAltName={san}", cwd=self.dir)
        return Certificate(self.dir / f"{label}.crt", self.dir / f"{label}.key")


def counted(octets):
    """A field of a DNS stamp."""
    return bytes([len(octets)]) + octets


def stamp(octets):
    return "sdns://" + base64.urlsafe_b64encode(octets).decode().rstrip("=")


def is_address(text):
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
            return True
        except OSError:
            pass
    return False


# ---- the zone: everything that the tests ask for ----

ZONE = """$ORIGIN .
$TTL 300
@ IN SOA ns.example. hostmaster.example. 1 3600 1200 604800 300
@ IN NS ns.example.
ns.example. IN A 127.0.0.1
example. IN A 192.0.2.1
www.example. IN A 192.0.2.10
www.example. IN AAAA 2001:db8::10
www.example. IN TXT "hello from the example zone" "second string"
example. IN MX 10 mail.example.
example. IN MX 20 backup.example.
mail.example. IN A 192.0.2.25
_sip._tcp.example. IN SRV 1 5 5060 www.example.
svc.example. IN HTTPS 1 . alpn="h2,h3" ipv4hint=192.0.2.10
alias1.example. IN CNAME alias2.example.
alias2.example. IN CNAME alias3.example.
alias3.example. IN CNAME www.example.
onlytxt.example. IN TXT "no address here"
xn--bcher-kva.example. IN A 192.0.2.77
*.wild.example. IN A 192.0.2.99
short.example. 2 IN A 192.0.2.2
"""


def zone_text(distinct=0):
    """The example zone, as a root zone; `distinct` names n0.d.example ... with their own address."""
    lines = [ZONE]
    for size, count in (("4k", 14), ("60k", 224)):
        for i in range(count):
            lines.append(f'big{size}.example. IN TXT "{i:04d}{"x" * 251}"\n')
    for i in range(distinct):
        lines.append(f"n{i}.d.example. IN A {distinct_address(i)}\n")
    return "".join(lines)


def distinct_address(i):
    return f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}"


# ---- servers ----

def https_port(port, given):
    """Beside a DoT server on its usual port stands a DoH server on its own."""
    return given or (443 if port == 853 else None)

class Server:
    """What the servers share: a directory, an address, a process."""

    def __init__(self, directory, address, port, tls=None):
        self.dir = Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.address, self.port, self.tls = address, port, tls
        self.process = None

    def url(self, name="", scheme="tls"):
        return f"{scheme}://{bracketed(self.address, self.port)}" + (f"#{name}" if name else "")

    def launch(self, argv, env=None, ready=None):
        self.process = Process(type(self).__name__.lower(), argv, self.dir, env=env)
        self.process.ready(ready or (lambda: accepts(self.address, self.port)))
        return self

    def stop(self):
        if self.process:
            self.process.stop()

    def freeze(self):
        self.process.send(signal.SIGSTOP)

    def thaw(self):
        self.process.send(signal.SIGCONT)


class Unbound(Server):
    """unbound as a resolver over the zone: plain; or DoT and DoH where tls (a Certificate) is
    given."""

    def __init__(self, directory, address, port, tls=None, distinct=0, extra="", https=None):
        super().__init__(directory, address, port, tls)
        self.https = https_port(port, https)
        (self.dir / "zone").write_text(zone_text(distinct))
        lines = [
            "server:", 'username: ""', 'chroot: ""', f'directory: "{self.dir}"', 'pidfile: ""',
            "use-syslog: no", "do-daemonize: no", "num-threads: 1", 'module-config: "iterator"',
            f"interface: {address}@{port}", "access-control: 0.0.0.0/0 allow",
            "access-control: ::/0 allow", "do-not-query-localhost: no", "verbosity: 1",
            "incoming-num-tcp: 200", "so-reuseport: no", "msg-cache-size: 64m",
            "rrset-cache-size: 64m", "extended-statistics: yes", "statistics-cumulative: yes",
            "edns-buffer-size: 4096", "max-udp-size: 4096", "local-zone: example. transparent",
        ]
        if tls:
            lines += [f"tls-port: {port}", f'tls-service-key: "{tls.key}"',
                      f'tls-service-pem: "{tls.crt}"']
        if tls and self.https:
            lines += [f"interface: {address}@{self.https}", f"https-port: {self.https}"]
        lines.append(extra)
        lines += ["auth-zone:", "name: .", 'zonefile: "zone"', "for-upstream: yes",
                  "for-downstream: no", "fallback-enabled: no", "remote-control:",
                  "control-enable: yes", f"control-interface: {self.dir}/ctl"]
        (self.dir / "unbound.conf").write_text("\n".join(lines) + "\n")

    def start(self):
        return self.launch([own_copy("unbound", self.dir), "-d", "-c", "unbound.conf"])

    def statistics(self):
        text = subprocess.run([program("unbound-control"), "-c", "unbound.conf", "stats_noreset"],
                              cwd=self.dir, check=True, stdout=subprocess.PIPE).stdout.decode()
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def own_copy(name, directory):
    """A copy outside /usr/sbin, so that a system AppArmor profile does not bind it to /etc."""
    source = program(name)
    if not source:
        raise StartError(f"{name} is not installed")
    return shutil.copy(source, Path(directory) / name)


class Dnsdist(Server):
    """dnsdist speaking DoT and DoH before another server."""

    def __init__(self, directory, address, port, tls, backend, extra="", https=None):
        super().__init__(directory, address, port, tls)
        self.https = https = https_port(port, https)
        lines = [f"setLocal('127.0.0.1:{free_port()}')", "setSecurityPollSuffix('')", "setACL({'0.0.0.0/0', '::/0'})"]
        lines += [f"newServer({{address='{bracketed(backend.address, backend.port)}', "
                  "healthCheckMode='up', sockets=4})",
                  f"addTLSLocal('{bracketed(address, port)}', '{tls.crt}', '{tls.key}', "
                  "{provider='openssl'})", extra]
        if https:
            lines.append(f"addDOHLocal('{bracketed(address, https)}', '{tls.crt}', '{tls.key}', "
                         "'/dns-query')")
        (self.dir / "dnsdist.conf").write_text("\n".join(lines) + "\n")

    def start(self):
        return self.launch([program("dnsdist"), "--supervised", "--disable-syslog", "-C",
                            "dnsdist.conf"])


class KnotResolver(Server):
    """knot-resolver speaking DoT and DoH before another server."""

    def __init__(self, directory, address, port, tls, backend, extra=""):
        super().__init__(directory, address, port, tls)
        lines = [
            f"net.listen('{address}', {port}, {{ kind = 'tls' }})",
            f"net.tls('{tls.crt}', '{tls.key}')", "cache.open(20*MB, 'lmdb://cache')",
            "trust_anchors.remove('.')", "modules.unload('ta_update')",
            "modules.unload('ta_signal_query')", "modules.unload('priming')",
            "modules = { 'policy' }",
            f"policy.add(policy.all(policy.STUB('{backend.address}@{backend.port}')))", extra]
        if https_port(port, None):
            lines.insert(1, f"net.listen('{address}', 443, {{ kind = 'doh2' }})")
        (self.dir / "kresd.conf").write_text("\n".join(lines) + "\n")

    def start(self):
        (self.dir / "cache").mkdir(exist_ok=True)
        return self.launch([program("kresd"), "-n", "-c", "kresd.conf", "."])


class Backend(Unbound):
    """What stands behind servers that take TLS off: DNS over TCP, and DoH without TLS."""

    def __init__(self, directory, address, port=5353, http=8080, extra=""):
        super().__init__(directory, address, port, extra="\n".join([
            f"interface: {address}@{http}", f"https-port: {http}", "http-notls-downstream: yes",
            "http-max-streams: 1000", "tcp-idle-timeout: 60000", extra]))
        self.http = http


class Demanding(Server):
    """Takes DoT and DoH off TLS, and wants to see a client's certificate of these authorities."""

    def __init__(self, directory, address, tls, backend, clients, port=853, https=443):
        super().__init__(directory, address, port, tls)
        self.https, self.backend, self.clients = https, backend, clients


class Nginx(Demanding):
    """Knows no alert for a certificate that it does not like: closes (DoT), or 400 (DoH)."""

    def __init__(self, *arguments, protocols="TLSv1.2 TLSv1.3", **options):
        super().__init__(*arguments, **options)
        self.protocols = protocols
        self.configure()

    def configure(self):
        tls = (f"ssl_protocols {self.protocols}; ssl_certificate {self.tls.crt}; "
               f"ssl_certificate_key {self.tls.key}; ssl_client_certificate {self.clients}; "
               "ssl_verify_client on;")
        folders = " ".join(f"{name}_temp_path {name};"
                           for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.dir / "nginx.conf").write_text(f"""
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
user root; daemon off; pid pid; error_log error.log info; worker_processes 1;
events {{ worker_connections 1000; }}
stream {{
    log_format session "$connection $ssl_protocol $ssl_session_reused $ssl_client_serial";
    access_log dot.log session;
    {tls} ssl_session_cache shared:dot:1m;
    server {{
        listen {self.address}:{self.port} ssl;
        proxy_pass {self.backend.address}:{self.backend.port};
    }}
}}
http {{
    log_format request "$connection $ssl_protocol $ssl_session_reused $ssl_client_serial $status";
    access_log doh.log request;
    {tls} {folders} keepalive_requests 1000000;
    server {{
        listen {self.address}:{self.https} ssl http2;
        location / {{ grpc_pass grpc://{self.backend.address}:{self.backend.http}; }}
    }}
}}
""")

    def start(self):
        before = self.said("start worker process ")
        return self.launch([program("nginx"), "-p", f"{self.dir}/", "-e", "error.log", "-c",
                            "nginx.conf"],  # not connected to: it counts connections
                           ready=lambda: self.said("start worker process ") > before)

    def said(self, text):
        log = self.dir / "error.log"
        return log.read_text(errors="replace").count(text) if log.exists() else 0

    def demand(self, clients):
        """From now on it wants to see certificates of these; who is connected over DoT stays, over
        DoH he is told to leave."""
        self.clients = clients
        self.configure()
        before = self.said("gracefully shutting down")
        self.process.send(signal.SIGHUP)
        wait_until(lambda: self.said("gracefully shutting down") > before, what="nginx reloads")

    def seen(self, log):
        """Lines of dot.log (written when a connection ends) or doh.log (a request): connection,
        protocol, resumed, serial of the client's certificate, status."""
        return [line.split() for line in (self.dir / log).read_text().splitlines()]


class Haproxy(Demanding):
    """Its verdict is an alert."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.configure()

    def configure(self):
        pem = self.dir / "server.pem"
        pem.write_text(self.tls.crt.read_text() + self.tls.key.read_text())
        tls = f"ssl crt {pem} ca-file {self.clients} verify required"
        (self.dir / "haproxy.cfg").write_text(f"""
global
    log stdout format raw local0
    maxconn 500
defaults
    log global
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend dot
    mode tcp
    bind {self.address}:{self.port} {tls} alpn dot
    default_backend plain
backend plain
    mode tcp
    server one {self.backend.address}:{self.backend.port}
frontend doh
    mode http
    bind {self.address}:{self.https} {tls} alpn h2
    default_backend http
backend http
    mode http
    server one {self.backend.address}:{self.backend.http} proto h2
""")

    def start(self):
        return self.launch([program("haproxy"), "-W", "-db", "-f", "haproxy.cfg"])


class Stunnel(Demanding):
    """Its verdict is an alert; it has no way to speak HTTP/2, so this is DoT only."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.configure()

    def configure(self):
        (self.dir / "stunnel.conf").write_text(f"""
foreground = yes
pid =
debug = info
[dot]
accept = {self.address}:{self.port}
connect = {self.backend.address}:{self.backend.port}
cert = {self.tls.crt}
key = {self.tls.key}
CAfile = {self.clients}
verifyChain = yes
""")

    def start(self):
        return self.launch([program("stunnel"), "stunnel.conf"])


def dot_ask(address, port, ca, name, question, timeout=3):
    """One DNS message over TLS with the standard library: for readiness and checks of servers."""
    context = ssl.create_default_context(cafile=str(ca))
    with socket.create_connection((address, port), timeout) as plain, \
            context.wrap_socket(plain, server_hostname=name) as tls:
        tls.sendall(len(question).to_bytes(2, "big") + question)
        reply = b""
        while len(reply) < 2 or len(reply) < 2 + int.from_bytes(reply[:2], "big"):
            more = tls.recv(65536)
            if not more:
                break
            reply += more
        return reply[2:]
