/* SPDX-License-Identifier: MIT */
/* Exports a function where a descriptor is wanted. */
extern int dray_plugin_v1(void);
int dray_plugin_v1(void)
{
    return 1;
}
