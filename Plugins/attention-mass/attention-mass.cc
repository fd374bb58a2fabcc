// attention-mass: where chosen rows look. Sums each head's attention pattern over the image, the prefix, the row itself
// and the rest; the four sum to 1. Imperative: it is called with the patterns, block by block of keys.
#include "ablate_plugin.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace {

enum Part { image, prefix, itself, rest, parts };
const char *const names[] = {"image", "prefix", "self", "rest"};

template <class T> const T *next(const T *element) { // by the writer's struct_size
  return reinterpret_cast<const T *>(reinterpret_cast<const char *>(element) + element->struct_size);
}

/// "all" or "4-11,-1": inclusive ranges, negative from the end; empty for bad text.
std::vector<std::pair<int, int>> layer_ranges(std::string text) {
  std::vector<std::pair<int, int>> ranges;
  if (text == "all") return {{0, -1}};
  for (const char *at = text.c_str();; at++) {
    int first = 0, last = 0, length = 0, one = 0;
    if (std::sscanf(at, "%d%n-%d%n", &first, &one, &last, &length) < 1) return {};
    ranges.emplace_back(first, length ? last : first);
    at += length ? length : one;
    if (*at == 0) return ranges;
    if (*at != ',') return {};
  }
}

struct Lane {
  std::vector<Part> part_of_key; // by row of the prompt; generated rows belong to the rest
  std::map<std::tuple<int, int, int>, std::array<double, parts>> mass; // by layer, row, head
};

struct Mass {
  const ablate_host *host;
  std::string tokens;
  std::vector<ablate_access> accesses;
  std::map<uint32_t, Lane> lanes;
};

void *create(const ablate_host *host, const ablate_model *, const ablate_value *value, uint64_t n, ablate_error *error) {
  auto self = new Mass{host, "", {}, {}};
  std::vector<std::pair<int, int>> ranges;
  for (; n; n--, value = next(value))
    (std::strcmp(value->id, "layers") ? void(self->tokens = value->s) : void(ranges = layer_ranges(value->s)));
  for (auto [first, last] : ranges) {
    ablate_access access{};
    access.struct_size = sizeof access, access.access = ABLATE_READ;
    access.tower = "text", access.site = "pattern", access.tokens = self->tokens.c_str();
    access.layer_first = first, access.layer_last = last;
    self->accesses.push_back(access);
  }
  if (!ranges.empty()) return self;
  error->code = ABLATE_E_INVALID;
  std::snprintf(error->message, error->capacity, "layers: write all, or ranges such as 4-11,-1");
  delete self;
  return nullptr;
}

void destroy(void *self) { delete static_cast<Mass *>(self); }

ablate_status plan(void *self, const ablate_item *, ablate_plan *out, ablate_error *) {
  out->accesses = static_cast<Mass *>(self)->accesses.data();
  out->n_accesses = static_cast<Mass *>(self)->accesses.size();
  return ABLATE_OK;
}

ablate_status begin_lane(void *self, uint32_t lane, const ablate_item *item, ablate_error *) {
  std::vector<Part> part(item->n_tokens, rest);
  const ablate_segment *segment = item->segments;
  for (uint64_t s = 0; s < item->n_segments; s++, segment = next(segment))
    for (int r = segment->first; r < segment->first + segment->count && r < int(part.size()); r++)
      part[r] = segment->kind == ABLATE_SEGMENT_IMAGE ? image : segment->kind == ABLATE_SEGMENT_PREFIX ? prefix : rest;
  static_cast<Mass *>(self)->lanes[lane] = Lane{part, {}};
  return ABLATE_OK;
}

ablate_status on_event(void *self, const ablate_event *event, ablate_error *) {
  const ablate_slice *slice = event->slices;
  for (uint64_t s = 0; s < event->n_slices; s++, slice = next(slice)) {
    Lane &lane = static_cast<Mass *>(self)->lanes[slice->lane];
    auto pattern = reinterpret_cast<const float *>(static_cast<const char *>(slice->view->data) + slice->view->byte_offset);
    for (uint64_t h = 0; h < slice->n_heads; h++) // [heads, rows, keys]
      for (uint64_t r = 0; r < slice->n_rows; r++) {
        auto &mass = lane.mass[{event->layer, slice->rows[r], slice->heads[h]}];
        for (int k = slice->key_first; k < slice->key_first + slice->n_keys; k++) {
          Part part = k < int(lane.part_of_key.size()) ? lane.part_of_key[k] : rest;
          mass[k == slice->rows[r] ? itself : part] += *pattern++;
        }
      }
  }
  return ABLATE_OK;
}

ablate_status end_lane(void *self, uint32_t lane, const ablate_column *, uint64_t, uint64_t, ablate_error *) {
  auto me = static_cast<Mass *>(self);
  std::array<std::vector<int64_t>, 3> keys;
  std::array<std::vector<double>, parts> masses;
  for (auto &[key, mass] : me->lanes[lane].mass) {
    keys[0].push_back(std::get<0>(key)), keys[1].push_back(std::get<1>(key)), keys[2].push_back(std::get<2>(key));
    for (int p = 0; p < parts; p++) masses[p].push_back(mass[p]);
  }
  me->lanes.erase(lane);
  std::vector<ablate_column> columns;
  auto add = [&](uint32_t type, const char *name, const void *data) {
    columns.push_back({sizeof(ablate_column), type, name, data, nullptr, nullptr});
  };
  add(ABLATE_T_I64, "layer", keys[0].data()), add(ABLATE_T_I64, "row", keys[1].data());
  add(ABLATE_T_I64, "head", keys[2].data());
  for (int p = 0; p < parts; p++) add(ABLATE_T_F64, names[p], masses[p].data());
  if (keys[0].empty()) return ABLATE_OK;
  return me->host->emit(me->host->ctx, lane, "attention_mass", columns.data(), columns.size(), keys[0].size());
}

ablate_param param(const char *id, const char *standard) {
  ablate_param param{};
  param.struct_size = sizeof param, param.type = ABLATE_T_SELECTOR, param.id = id, param.def_str = standard;
  return param;
}

const ablate_param params[] = {param("layers", "all"), param("tokens", "last")};
const ablate_plugin plugin = {sizeof plugin, ABLATE_PROBE, "attention-mass", "1.0.0", 0, 0, 2, 0, params, 2, create,
                              destroy, plan, begin_lane, on_event, end_lane, nullptr};
const ablate_plugin *const plugins[] = {&plugin};
const ablate_library library = {sizeof library, ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR, 64, plugins, 1};

} // namespace

const ablate_library *ablate_plugin_entry_v0(uint32_t, ablate_error *) { return &library; }
