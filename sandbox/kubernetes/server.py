"""The API server on its own socket."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Self

import flask

from sandbox.clock import Clock
from sandbox.fault import Fault, Faults, within
from sandbox.http_service import HttpServer, apply_faults
from sandbox.kubernetes.access import ADMIN_TOKEN, Tokens
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.audit import AuditListener
from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.bootstrap import assemble
from sandbox.kubernetes.watches import Streams
from sandbox.kubernetes.web import METHODS, Web, answer_fault

SERVICE = "kubernetes"
"""Its name in ``Fault.service``."""


class KubernetesServer:
    """The API server of one cluster; plain HTTP on the loopback interface."""

    def __init__(self, clock: Clock, faults: Faults, *, version: str = "v1.36.0") -> None:
        self._engine = engine = assemble(clock)
        self._clock = clock
        self._faults = faults
        self.api = Api(engine)
        """The API without the socket."""
        self._tokens = Tokens()
        self._streams = Streams(engine.store)
        web = Web(engine, self._tokens, self._streams, version)
        self._server = HttpServer(_app(web, faults, clock))

    def start(self) -> Self:
        """Begin to answer."""
        self._server.start()
        return self

    def stop(self) -> None:
        """End all watches, and close the socket."""
        self._streams.stop()
        self._server.stop()

    @property
    def address(self) -> str:
        """``host:port`` of the socket."""
        return self._server.address

    def add_user(self, token: str, name: str, groups: Iterable[str] = ()) -> None:
        """Add a user with a bearer token; roles and bindings decide about access."""
        self._tokens.add(token, name, groups)

    def kubeconfig(self, context: str, token: str = ADMIN_TOKEN) -> Body:
        """
        Return a kubeconfig whose only context has the given name, for the owner of a token.

        The URL includes the token, because kubectl does not send it otherwise without TLS.
        """
        user = {"name": context, "user": {"token": token}}
        cluster = {"name": context, "cluster": {"server": f"http://token:{token}@{self.address}"}}
        joined = {"name": context, "context": {"cluster": context, "user": context}}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "preferences": {},
            "clusters": [cluster],
            "users": [user],
            "contexts": [joined],
            "current-context": context,
        }

    def on_audit(self, listener: AuditListener) -> None:
        """Call ``listener`` with the record of each write, accepted or refused, from now on."""
        self._engine.audit.add_listener(listener)

    def save(self) -> Callable[[], None]:
        """Return a function that restores all objects; no watch may be open across it."""
        return self._engine.store.save()

    def compact(self) -> None:
        """Forget the history: older watches and continue tokens get a 410."""
        self._engine.store.compact()

    def restart(self, down: timedelta) -> Fault:
        """
        Restart the server, which is down for a while of the sandbox's time; its data stays.

        Connections and watches break off, its cache for watches is gone, and requests are
        answered with 503 until it is back. The simulated controllers use the API without the
        socket, and continue. Returns the fault that lasts until the server is back.
        """
        fault = self._faults.add(Fault(SERVICE, when=within(self._clock, timedelta(), down)))
        self.compact()
        self._streams.end_all()
        self._server.drop_connections()
        return fault


def _app(web: Web, faults: Faults, clock: Clock) -> flask.Flask:
    app = flask.Flask("kubernetes")
    # A fault that closes the connection is an exception that must reach the socket's server.
    app.config["PROPAGATE_EXCEPTIONS"] = True
    app.url_map.merge_slashes = False
    apply_faults(app, faults, SERVICE, answer_fault, clock)
    app.add_url_rule("/", "root", web.answer, methods=METHODS, defaults={"path": ""})
    app.add_url_rule("/<path:path>", "path", web.answer, methods=METHODS)
    return app
