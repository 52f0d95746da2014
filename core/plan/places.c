/* SPDX-License-Identifier: MIT */
/* places.c - where the elements of a step's lists are written, for who has something to say of one
 * when the plan has been made. */
#include "core/plan/draft.h"

static json_t *places_of(const struct dray_node *list)
{
    json_t *places = json_array();

    for (size_t i = 0; places && i < list->count; i++) {
        const struct dray_place *place = &list->items[i]->place;
        if (json_array_append_new(places, json_pack("[I, I, I]", (json_int_t)place->line,
                                                    (json_int_t)place->column,
                                                    (json_int_t)place->width)) != 0) {
            json_decref(places);
            return NULL;
        }
    }
    return places;
}

json_t *dray_step_places(const struct dray_draft_step *step)
{
    const struct dray_node *with = step->with_node;
    json_t *places = json_object();

    for (size_t i = 0; places && with && with->kind == DRAY_NODE_MAPPING && i < with->count; i++) {
        const struct dray_node *value = with->pairs[i].value;
        if (value->kind == DRAY_NODE_SEQUENCE &&
            json_object_set_new(places, with->pairs[i].key->text, places_of(value)) != 0) {
            json_decref(places);
            return NULL;
        }
    }
    return places;
}
