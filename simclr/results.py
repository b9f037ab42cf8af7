"""`python -m simclr.results FOLDER...` compares finished runs in one table.

`python -m simclr.results verify FOLDER` runs one again and compares.
"""

import sys

from simclr.pipes import while_read
from simclr.reports import gather

if __name__ == "__main__":
    if sys.argv[1:2] == ["verify"]:
        from simclr.verify import main

        sys.exit(while_read(lambda: main(sys.argv[2:])))
    sys.exit(while_read(gather.main))
