"""The page that runs artifacts in a browser, in `page`: plain ES modules, shipped with the package and served as is."""
