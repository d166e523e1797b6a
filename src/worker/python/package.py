"""The rest of the package is where it is installed, if it is."""
import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)
