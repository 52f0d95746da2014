/* SPDX-License-Identifier: MIT */
/* dray-probe - opens one plugin where a crash hurts nobody, and says what it is. Started by dray.
 */
#include "core/plugin/plugin.h"

int main(int argc, char **argv)
{
    return dray_probe_main(argc, argv);
}
