"""A Hub on loopback for the tests: `HubServer`."""

from tests.hub_server.client import HubClient, Said
from tests.hub_server.repository import OWNER_TOKEN, READER_TOKEN, STRANGER_TOKEN, Account
from tests.hub_server.server import HubServer

__all__ = ["OWNER_TOKEN", "READER_TOKEN", "STRANGER_TOKEN", "Account", "HubClient", "HubServer", "Said"]
