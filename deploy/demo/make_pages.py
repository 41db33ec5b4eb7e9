#!/usr/bin/env python3
"""Turns Debian's package catalogue, as apt knows it, into a paginated JSON API of static files.

make_pages.py DIR PAGES PER_PAGE: writes DIR/1.json ... with {"packages": [...], "next": "/packages/2.json" or null}.
"""
import json
import subprocess
import sys


def catalogue(limit):
    """The first `limit` packages of the catalogue; of the installed ones if apt has no lists."""
    dump = subprocess.run(["apt-cache", "dumpavail"], stdout=subprocess.PIPE, text=True, errors="replace").stdout
    if dump.count("\nPackage: ") < limit:
        dump += subprocess.run(["dpkg-query", "-W", "-f", "Package: ${Package}\nVersion: ${Version}\n\n"],
                               stdout=subprocess.PIPE, text=True, check=True).stdout
    for stanza in dump.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " ")
        if "Package" in fields:
            yield {"name": fields["Package"], "version": fields.get("Version"), "section": fields.get("Section"),
                   "size": int(fields.get("Size", 0))}
            limit -= 1
            if limit == 0:
                return


def main():
    directory, pages, per_page = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    packages = list(catalogue(pages * per_page))
    if len(packages) < pages * per_page:
        sys.exit(f"only {len(packages)} packages known: run apt-get update")
    for page in range(1, pages + 1):
        items = packages[(page - 1) * per_page:page * per_page]
        following = f"/packages/{page + 1}.json" if page < pages else None
        with open(f"{directory}/{page}.json", "w", encoding="utf-8") as out:
            json.dump({"packages": items, "next": following}, out)


main()
