// Plots as SVG.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace isolde::bench {

struct PlotPoint {
  double x = 0;
  double y = 0;
  double low = 0;  // of the spread; equal to y if there is none
  double high = 0;
};

struct PlotSeries {
  std::string name;
  std::size_t color = 0;  // the same subject has the same colour in all plots
  std::vector<PlotPoint> points;
};

struct Plot {
  std::string title;
  std::string x_label;
  std::string y_label;
  bool log_x = false;
  bool log_y = false;
  std::vector<PlotSeries> series;
};

// Lines, with the spread as a whisker at each point. Empty if there is nothing to draw.
std::string line_plot(const Plot& plot);

struct Bar {
  std::string name;
  std::size_t color = 0;
  double value = 0;
  double low = 0;
  double high = 0;
  std::string text;  // beside the bar
};

struct BarGroup {
  std::string name;
  std::vector<Bar> bars;
};

// Horizontal bars, each group on a scale of its own: the longest fills the width.
std::string bar_plot(const std::string& title, const std::vector<BarGroup>& groups);

// Text for XML: & < > " escaped, control characters dropped.
std::string xml_text(std::string_view text);

}  // namespace isolde::bench
