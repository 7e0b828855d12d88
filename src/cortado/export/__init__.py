"""Templates into the inputs of fits: pyhf workspaces, CMS combine datacards and plain ROOT files."""

from cortado.export.combine_datacard import write_datacard as combine
from cortado.export.pyhf_workspace import write_workspace as pyhf
from cortado.export.root_file import write_templates as root

__all__ = ["combine", "pyhf", "root"]
