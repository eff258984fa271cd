"""Requests to the API server: a page of a list, or the lines of a watch. Errors name the fix if there is one."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import httpx
from pydantic import ValidationError

from leakwatch.discovery.kubernetes.credential_cache import CredentialCache, ExecTls
from leakwatch.discovery.kubernetes.exec_plugin import ExecCredential
from leakwatch.discovery.kubernetes.kubeconfig import ApiAccess
from leakwatch.discovery.kubernetes.objects import KubernetesStatus
from leakwatch.errors import DiscoveryError, quote
from leakwatch.http.client import Client, Tls

GONE = 410


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource of the Kubernetes API, such as pods."""

    name: str
    group: str = ""
    version: str = "v1"
    is_namespaced: bool = True

    def path(self, namespace: str) -> str:
        """Return the URL path of all objects in `namespace`; "" means all namespaces."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if namespace and self.is_namespaced else ""
        return f"{root}{scope}/{self.name}"


class ApiError(Exception):
    """A request to the API server failed; a later attempt may succeed.

    `detail` is the part of the message that can vary while the cause is the same. `fix` is the user's remedy, ""
    if the error may be temporary. `retry_after` is the number of seconds that the server asked to wait.
    """

    def __init__(self, message: str, detail: str = "", *, fix: str = "", retry_after: float = 0.0) -> None:
        super().__init__(f"{message}: {detail}" if detail else message)
        self.message = message
        self.fix = fix
        self.retry_after = retry_after


class ResourceExpired(ApiError):  # noqa: N818  Kubernetes's name of the error
    """The API server no longer has the requested resource version: the objects must be listed again."""


class ApiClient:
    """Client for one resource in one namespace, or in all namespaces if `namespace` is "". It has one connection.

    `timeout` is in seconds: until a response begins, and between two parts of a page.
    """

    def __init__(
        self,
        access: ApiAccess,
        resource: Resource,
        namespace: str,
        *,
        timeout: float,
        credentials: CredentialCache | None = None,
    ) -> None:
        self._access = access
        self._credentials = credentials
        self._resource = resource
        self._namespace = namespace if resource.is_namespaced else ""
        self._url = httpx.URL(access.url + resource.path(namespace))
        self._timeout = timeout
        tls_config, secure = access.http.tls_config, self._url.scheme == "https"
        tls = ExecTls(tls_config, credentials, secure=secure) if credentials else Tls(tls_config, secure=secure)
        self._client = Client(tls, timeout=timeout)
        self._extensions = {"sni_hostname": tls_config.server_name} if tls_config.server_name else {}

    async def page(self, parameters: Mapping[str, str]) -> bytes:
        """Return one page of a list; raises ApiError, and ResourceExpired for an old `continue` token."""
        async with self._response("list", parameters, self._timeout) as response:
            try:
                return await response.aread()
            except httpx.RequestError as error:
                raise self._unreachable(error) from error

    @asynccontextmanager
    async def watch(self, parameters: Mapping[str, str], idle_timeout: float) -> AsyncIterator[AsyncIterator[str]]:
        """Start a watch and yield its lines; raises ApiError, and ResourceExpired for an old resource version.

        The lines end when the connection ends for any reason, or after `idle_timeout` seconds without a line.
        """
        async with (
            self._response("watch", parameters, idle_timeout) as response,
            aclosing(_lines(response)) as lines,
        ):
            yield lines

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    @asynccontextmanager
    async def _response(
        self, verb: str, parameters: Mapping[str, str], read_timeout: float
    ) -> AsyncIterator[httpx.Response]:
        """Yield a response with status 200; raises ApiError.

        If the API server rejects the credential of a plugin, send the request once more with a new one.
        """
        response, credential = await self._send(parameters, read_timeout)
        if response.status_code == httpx.codes.UNAUTHORIZED and self._credentials and credential:
            self._credentials.reject(credential)
            response, _ = await self._send(parameters, read_timeout)
        if response.status_code != httpx.codes.OK:
            raise self._refusal(verb, response)
        try:
            yield response
        finally:
            await response.aclose()

    async def _send(
        self, parameters: Mapping[str, str], read_timeout: float
    ) -> tuple[httpx.Response, ExecCredential | None]:
        """Return a response and the plugin's credential in the request; raises ApiError.

        The body of a response is read and the connection is free, unless the status is 200.
        """
        try:
            credential = await self._credentials.get() if self._credentials else None
            client = await self._client.get()
            headers = self._access.http.headers()  # built for each request, because token files change
        except (DiscoveryError, OSError, UnicodeError) as error:
            raise ApiError("no credentials for the API server", str(error)) from error
        request = client.build_request(
            "GET",
            self._url,
            params=dict(parameters),
            headers=[*headers, *(credential.headers() if credential else ())],
            timeout=httpx.Timeout(self._timeout, read=read_timeout),
            extensions=self._extensions,
        )
        try:
            async with asyncio.timeout(self._timeout):
                response = await client.send(request, stream=True)
                if response.status_code != httpx.codes.OK:
                    await response.aread()
        except (httpx.RequestError, TimeoutError) as error:
            raise self._unreachable(error) from error
        return response, credential

    def _refusal(self, verb: str, response: httpx.Response) -> ApiError:
        """Return the error for a status other than 200."""
        code, request = response.status_code, f"{verb} {self._resource.name} {self._scope}"
        message = _status_message(response.content)
        if code == GONE:
            return ResourceExpired(f"cannot {request}: {message}")
        if code == httpx.codes.FORBIDDEN:
            return ApiError(f"not allowed to {request}: {message}", fix=self._role())
        if code == httpx.codes.UNAUTHORIZED:
            return ApiError(f"the API server rejected the credentials: {message}", fix="valid credentials")
        if code == httpx.codes.NOT_FOUND:
            version = "/".join(filter(None, (self._resource.group, self._resource.version)))
            return ApiError(f"cannot {request}: {message}", fix=f"an API server at this URL that serves {version}")
        retry_after = response.headers.get("Retry-After", "")
        seconds = float(retry_after) if retry_after.isdecimal() else 0.0
        return ApiError(f"cannot {request}: HTTP {code}: {message}", retry_after=seconds)

    @property
    def _scope(self) -> str:
        return f"in namespace {self._namespace}" if self._namespace else "in the whole cluster"

    def _role(self) -> str:
        """Return the role that leakwatch needs, with its rule as in a manifest."""
        kind = f"a Role in namespace {self._namespace}" if self._namespace else "a ClusterRole"
        rule = f'apiGroups: ["{self._resource.group}"], resources: [{self._resource.name}], verbs: [list, watch]'
        return f"{kind}, bound to leakwatch's service account, with rules: [{{{rule}}}]"

    def _unreachable(self, error: httpx.RequestError | TimeoutError) -> ApiError:
        # Without the resource, because the error is the same for all resources and is logged once.
        origin = f"{self._url.scheme}://{self._url.netloc.decode()}"
        return ApiError(
            f"cannot reach the API server at {origin}", str(error) or f"no answer within {self._timeout:g} s"
        )


async def _lines(response: httpx.Response) -> AsyncGenerator[str]:
    with contextlib.suppress(httpx.RequestError):
        async for line in response.aiter_lines():
            yield line


def _status_message(body: bytes) -> str:
    """Return the message in the body of an error response."""
    try:
        return KubernetesStatus.model_validate_json(body).message or "no message"
    except ValidationError:
        return quote(body.strip()) if body.strip() else "no message"
