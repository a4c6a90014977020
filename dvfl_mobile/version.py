"""The version of dvfl-mobile, recorded in every document and artifact."""

__version__ = "0.1.0"
