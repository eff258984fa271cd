"""Requests to the API server: one page of a list, or the lines of a watch; each failure says what to do."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import httpx
from pydantic import ValidationError

from leakwatch.discovery.kubernetes.kubeconfig import Access
from leakwatch.discovery.kubernetes.objects import KubernetesStatus
from leakwatch.errors import quote
from leakwatch.http.client import Client, Tls

GONE = 410


@dataclass(frozen=True, slots=True)
class Resource:
    """What is listed and watched: where it is in the API."""

    name: str
    group: str = ""
    version: str = "v1"
    in_namespaces: bool = True

    def path(self, namespace: str) -> str:
        """Return the path of all that there are in `namespace`, "" for all namespaces."""
        start = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{namespace}" if namespace and self.in_namespaces else ""
        return f"{start}{within}/{self.name}"


class ApiError(Exception):
    """The API server gave no answer that can be used; the next one may be another.

    `detail`: what may differ from time to time in one trouble; `mend`: what the user has to do, ""
    if it may pass by itself; `after`: seconds that the server wants to rest.
    """

    def __init__(self, message: str, detail: str = "", *, mend: str = "", after: float = 0.0) -> None:
        super().__init__(f"{message}: {detail}" if detail else message)
        self.message = message
        self.mend = mend
        self.after = after


class ResourceExpired(ApiError):  # noqa: N818  it says what the version is
    """The version is too old for the API server: list anew."""


class ApiClient:
    """One connection to the API server, for one resource in one namespace, or in all if `namespace` is "".

    `answer`: seconds within which an answer begins, and a page of a list goes on.
    """

    def __init__(self, access: Access, resource: Resource, namespace: str, *, answer: float) -> None:
        self._access = access
        self._resource = resource
        self._namespace = namespace if resource.in_namespaces else ""
        self._url = httpx.URL(access.url + resource.path(namespace))
        self._answer_time = answer
        self._client = Client(Tls(access.http.tls_config, secure=self._url.scheme == "https"), timeout=answer)
        name = access.http.tls_config.server_name
        self._extensions = {"sni_hostname": name} if name else {}

    async def page(self, parameters: Mapping[str, str]) -> bytes:
        """Return one page of a list; raises ApiError, Gone when `continue` is too old."""
        async with self._answer("list", parameters, self._answer_time) as response:
            try:
                return await response.aread()
            except httpx.RequestError as error:
                raise self._unreachable(error) from error

    @asynccontextmanager
    async def watch(self, parameters: Mapping[str, str], silence: float) -> AsyncIterator[AsyncIterator[str]]:
        """Begin a watch and give its lines; raises ApiError if it does not begin, Gone for too old a version.

        That the lines end is no error, whoever ended them and how; `silence` seconds without any end them too.
        """
        async with self._answer("watch", parameters, silence) as response, aclosing(_lines(response)) as lines:
            yield lines

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    @asynccontextmanager
    async def _answer(
        self, verb: str, parameters: Mapping[str, str], read: float
    ) -> AsyncIterator[httpx.Response]:
        try:
            client = await self._client.get()
            headers = self._access.http.headers()  # anew each time: the token rotates
        except (OSError, UnicodeError) as error:
            raise ApiError("what makes us known to the API server cannot be read", str(error)) from error
        timeout = httpx.Timeout(self._answer_time, read=read)
        request = client.build_request(
            "GET",
            self._url,
            params=dict(parameters),
            headers=headers,
            timeout=timeout,
            extensions=self._extensions,
        )
        try:
            async with asyncio.timeout(self._answer_time):
                response = await client.send(request, stream=True)
                if response.status_code != httpx.codes.OK:
                    body = await response.aread()
                    raise self._refusal(verb, response, body)
        except (httpx.RequestError, TimeoutError) as error:
            raise self._unreachable(error) from error
        try:
            yield response
        finally:
            await response.aclose()

    def _refusal(self, verb: str, response: httpx.Response, body: bytes) -> ApiError:
        """Return what a status other than 200 means."""
        code, what = response.status_code, f"{verb} {self._resource.name} {self._where}"
        said = _said(body)
        if code == GONE:
            return ResourceExpired(f"cannot {what}: {said}")
        if code == httpx.codes.FORBIDDEN:
            return ApiError(f"may not {what}: {said}", mend=self._role())
        if code == httpx.codes.UNAUTHORIZED:
            return ApiError(f"the API server does not know us: {said}", mend="credentials that it accepts")
        if code == httpx.codes.NOT_FOUND:
            version = "/".join(filter(None, (self._resource.group, self._resource.version)))
            return ApiError(f"cannot {what}: {said}", mend=f"an API server at this URL that serves {version}")
        after = response.headers.get("Retry-After", "")
        return ApiError(f"cannot {what}: HTTP {code}: {said}", after=float(after) if after.isdecimal() else 0.0)

    @property
    def _where(self) -> str:
        return f"in namespace {self._namespace}" if self._namespace else "in the whole cluster"

    def _role(self) -> str:
        """Return what has to be bound to us, as it is written in a manifest."""
        kind = f"a Role in namespace {self._namespace}" if self._namespace else "a ClusterRole"
        rule = f'apiGroups: ["{self._resource.group}"], resources: [{self._resource.name}], verbs: [list, watch]'
        return f"{kind}, bound to leakwatch's service account, with rules: [{{{rule}}}]"

    def _unreachable(self, error: httpx.RequestError | TimeoutError) -> ApiError:
        # Without the resource: the API server is away for all of them, which is said once.
        origin = f"{self._url.scheme}://{self._url.netloc.decode()}"
        said = str(error) or f"no answer within {self._answer_time:g} s"
        return ApiError(f"cannot reach the API server at {origin}", said)


async def _lines(response: httpx.Response) -> AsyncGenerator[str]:
    with contextlib.suppress(httpx.RequestError):
        async for line in response.aiter_lines():
            yield line


def _said(body: bytes) -> str:
    """Return what the body of a refusal says."""
    try:
        return KubernetesStatus.model_validate_json(body).message or "no reason is given"
    except ValidationError:
        return quote(body.strip()) if body.strip() else "no reason is given"
