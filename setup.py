"""A wheel has the competitions inside the toolkit: `competitions`, at the top of site-packages, is anybody's name."""

from setuptools import find_namespace_packages, setup

SHIPPED = "toolkit.shipped.competitions"
setup(
    packages=[
        *find_namespace_packages(include=["toolkit", "toolkit.*"]),
        *(f"{SHIPPED}.{name}" for name in find_namespace_packages("competitions")),
    ],
    package_dir={SHIPPED: "competitions"},
)
