"""Layouts of the published data sets: a module for each, with a function for each format of its train and test lists.

Each function reads one layout of a folder, and returns None where the folder isn't laid out so.
"""
