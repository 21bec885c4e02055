"""Bytes to resource trees and back: JSON, XML, patch bodies, and which of them a request means."""
