"""What takes longest of what a study imports and sets up, for processes that are forked after it."""

import matplotlib.pyplot  # noqa: F401
import openai  # noqa: F401
import pandas  # type: ignore[import-untyped]  # noqa: F401
import plotly.graph_objects
import pyarrow.parquet  # noqa: F401
import scipy.optimize
import scipy.stats  # noqa: F401
import wandb  # noqa: F401

import mindgap.__main__
import mindgap.analysis.whole
import mindgap.judges.llm
import mindgap.presentation.task_tables
import mindgap.report.write
import mindgap.study.run
import mindgap.study.sweep
import mindgap.tasks.choice
import mindgap.tracking.wandb_run  # noqa: F401
from mindgap.providers.chat import import_litellm

import_litellm()

plotly.graph_objects.Scatter(x=[0], y=[0])  # reads what plotly checks its figures by
