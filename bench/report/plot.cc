#include "bench/report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "bench/report/report.h"

namespace isolde::bench {
namespace {

// Told apart by most eyes (after Okabe and Ito), then by the dashes that follow.
constexpr std::array<const char*, 8> colors = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                               "#56b4e9", "#e69f00", "#000000", "#8a8a00"};
constexpr std::array<const char*, 3> dashes = {"none", "6 3", "2 2"};

const char* color_of(std::size_t color) { return colors.at(color % colors.size()); }
const char* dash_of(std::size_t color) { return dashes.at(color / colors.size() % dashes.size()); }

// One axis: from values to pixels, and where its ticks are.
class Axis {
 public:
  Axis(double low, double high, bool log, double from, double to)
      : log_(log), from_(from), to_(to) {
    if (log_) {
      low_ = std::floor(std::log10(low));
      high_ = std::ceil(std::log10(high));
      if (high_ <= low_) high_ = low_ + 1;
      return;
    }
    const double span = high > low ? high - low : std::max(1.0, std::abs(high));
    const double rough = span / 5;
    const double power = std::pow(10, std::floor(std::log10(rough)));
    step_ = power;
    for (const double nice : {1.0, 2.0, 5.0, 10.0}) {
      if (nice * power >= rough) {
        step_ = nice * power;
        break;
      }
    }
    low_ = std::floor(low / step_) * step_;
    high_ = std::ceil(high / step_ - 1e-9) * step_;
    if (high_ <= low_) high_ = low_ + step_;
  }

  double at(double value) const {
    const double place = log_ ? std::log10(std::max(value, 1e-12)) : value;
    return from_ + (to_ - from_) * std::clamp((place - low_) / (high_ - low_), 0.0, 1.0);
  }
  std::vector<double> ticks() const {
    std::vector<double> ticks;
    const double step = log_ ? 1 : step_;
    const auto count = static_cast<int>(std::lround((high_ - low_) / step));
    ticks.reserve(static_cast<std::size_t>(count) + 1);
    for (int i = 0; i <= count; ++i) {
      const double place = low_ + i * step;
      ticks.push_back(log_ ? std::pow(10, place) : place);
    }
    return ticks;
  }

 private:
  bool log_;
  double from_;
  double to_;
  double low_ = 0;
  double high_ = 1;
  double step_ = 1;
};

struct Extent {
  double low = std::numeric_limits<double>::max();
  double high = std::numeric_limits<double>::lowest();
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

void add_series(std::string& svg, const PlotSeries& series, const Axis& x, const Axis& y) {
  const char* const color = color_of(series.color);
  std::string path;
  for (const PlotPoint& point : series.points) {
    path += fmt::format("{:.1f},{:.1f} ", x.at(point.x), y.at(point.y));
    if (point.high > point.low) {
      svg += fmt::format(
          "<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\" stroke=\"{3}\" "
          "stroke-opacity=\"0.5\"/>\n",
          x.at(point.x), y.at(point.low), y.at(point.high), color);
    }
    if (series.points.size() <= 40) {
      svg += fmt::format(
          "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"><title>{}: {:g}, {}</title>"
          "</circle>\n",
          x.at(point.x), y.at(point.y), color, xml_text(series.name), point.x,
          short_number(point.y));
    }
  }
  svg += fmt::format(
      "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\" "
      "stroke-dasharray=\"{}\"/>\n",
      path, color, dash_of(series.color));
}

void add_axes(std::string& svg, const Axis& x, const Axis& y, double left, double right, double top,
              double bottom) {
  for (const double tick : y.ticks()) {
    svg += fmt::format(
        "<line x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" class=\"grid\"/>"
        "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5}</text>\n",
        left, right, y.at(tick), left - 6, y.at(tick) + 4, short_number(tick));
  }
  for (const double tick : x.ticks()) {
    svg += fmt::format(
        "<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\" class=\"grid\"/>"
        "<text x=\"{0:.1f}\" y=\"{3}\" text-anchor=\"middle\">{4}</text>\n",
        x.at(tick), top, bottom, bottom + 16, short_number(tick));
  }
}

}  // namespace

std::string xml_text(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  for (const char c : text) {
    if (c == '&') {
      escaped += "&amp;";
    } else if (c == '<') {
      escaped += "&lt;";
    } else if (c == '>') {
      escaped += "&gt;";
    } else if (c == '"') {
      escaped += "&quot;";
    } else if (static_cast<unsigned char>(c) >= 0x20 || c == '\n') {
      escaped += c;
    }
  }
  return escaped;
}

std::string line_plot(const Plot& plot) {
  Extent xs;
  Extent ys;
  if (!plot.log_y) ys.add(0);
  for (const PlotSeries& series : plot.series) {
    for (const PlotPoint& point : series.points) {
      xs.add(point.x);
      ys.add(point.low);
      ys.add(point.high);
    }
  }
  if (xs.high < xs.low) return {};
  if (plot.log_y) ys.low = std::max(ys.low, 1e-9);
  constexpr double left = 66;
  constexpr double right = 520;
  constexpr double top = 34;
  constexpr double bottom = 310;
  const double height = std::max(360.0, top + 20.0 * static_cast<double>(plot.series.size() + 1));
  const Axis x(xs.low, xs.high, plot.log_x, left, right);
  const Axis y(ys.low, ys.high, plot.log_y, bottom, top);
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 700 {:.0f}\" role=\"img\">\n"
      "<text x=\"{}\" y=\"18\" class=\"title\">{}</text>\n",
      height, left, xml_text(plot.title));
  add_axes(svg, x, y, left, right, top, bottom);
  double line = top + 10;
  for (const PlotSeries& series : plot.series) {
    if (series.points.empty()) continue;
    add_series(svg, series, x, y);
    svg += fmt::format(
        "<line x1=\"532\" x2=\"556\" y1=\"{0:.0f}\" y2=\"{0:.0f}\" stroke=\"{1}\" "
        "stroke-width=\"2\" stroke-dasharray=\"{2}\"/><text x=\"562\" y=\"{3:.0f}\">{4}</text>\n",
        line, color_of(series.color), dash_of(series.color), line + 4, xml_text(series.name));
    line += 20;
  }
  svg += fmt::format(
      "<text x=\"{:.0f}\" y=\"346\" text-anchor=\"middle\">{}</text>\n"
      "<text transform=\"translate(14 {:.0f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n"
      "</svg>\n",
      (left + right) / 2, xml_text(plot.x_label), (top + bottom) / 2, xml_text(plot.y_label));
  return svg;
}

std::string bar_plot(const std::string& title, const std::vector<BarGroup>& groups) {
  constexpr double left = 150;
  constexpr double width = 330;
  std::string body;
  double line = 36;
  for (const BarGroup& group : groups) {
    double longest = 0;
    for (const Bar& bar : group.bars) longest = std::max({longest, bar.value, bar.high});
    if (longest <= 0) continue;
    body += fmt::format("<text x=\"4\" y=\"{:.0f}\" class=\"group\">{}</text>\n", line + 10,
                        xml_text(group.name));
    line += 18;
    for (const Bar& bar : group.bars) {
      const double middle = line + 6;
      body += fmt::format(
          "<text x=\"{0:.0f}\" y=\"{1:.0f}\" text-anchor=\"end\">{2}</text>"
          "<rect x=\"{3:.0f}\" y=\"{4:.0f}\" width=\"{5:.1f}\" height=\"11\" fill=\"{6}\"/>",
          left - 6, middle + 4, xml_text(bar.name), left, line, width * bar.value / longest,
          color_of(bar.color));
      if (bar.high > bar.low) {
        body += fmt::format(
            "<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.0f}\" y2=\"{:.0f}\" class=\"spread\"/>",
            left + width * bar.low / longest, left + width * bar.high / longest, middle, middle);
      }
      body += fmt::format("<text x=\"{:.1f}\" y=\"{:.0f}\">{}</text>\n",
                          left + width * std::max(bar.value, bar.high) / longest + 6, middle + 4,
                          xml_text(bar.text));
      line += 15;
    }
    line += 10;
  }
  if (body.empty()) return {};
  return fmt::format(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 700 {:.0f}\" role=\"img\">\n"
             "<text x=\"4\" y=\"18\" class=\"title\">{}</text>\n",
             line + 6, xml_text(title)) +
         body + "</svg>\n";
}

}  // namespace isolde::bench
