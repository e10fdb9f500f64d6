// Built without a library for line editing.
#include "line_editor.h"

namespace isolde::shell {

std::unique_ptr<LineEditor> LineEditor::create(const Bell&, Questions) { return plain(); }

}  // namespace isolde::shell
