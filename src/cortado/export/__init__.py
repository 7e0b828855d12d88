"""What leaves the program: templates as inputs of fits, categorizers as files for other programs.

Templates go into pyhf workspaces, CMS combine datacards and plain ROOT files; categorizers into correctionlib
and ONNX.
"""

from cortado.export.combine_datacard import write_datacard as combine
from cortado.export.correction_set import write_correction as correctionlib
from cortado.export.onnx_graph import write_graph as onnx
from cortado.export.pyhf_workspace import write_workspace as pyhf
from cortado.export.root_file import write_templates as root

__all__ = ["combine", "correctionlib", "onnx", "pyhf", "root"]
