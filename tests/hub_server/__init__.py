"""A Hub on loopback for the tests: `HubServer`."""

from tests.hub_server.server import OWNER_TOKEN, HubServer

__all__ = ["OWNER_TOKEN", "HubServer"]
