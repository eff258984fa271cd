// Keeps a page as it is now, without reloading it.
"use strict";
