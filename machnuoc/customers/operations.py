"""What writes in this room, found at start-up for the sentences of the journal: each area has its own module."""

from machnuoc.customers import application_operations as application_operations
from machnuoc.customers import connection_operations as connection_operations
from machnuoc.customers import connection_sheets as connection_sheets
from machnuoc.customers import connection_views as connection_views
from machnuoc.customers import meters as meters
from machnuoc.customers import notice_operations as notice_operations
from machnuoc.customers import open311_client as open311_client
from machnuoc.customers import privacy as privacy
from machnuoc.customers import reading_sheets as reading_sheets
from machnuoc.customers import reading_views as reading_views
from machnuoc.customers import readings as readings
from machnuoc.customers import request_categories as request_categories
from machnuoc.customers import request_operations as request_operations
from machnuoc.customers import request_views as request_views
from machnuoc.customers import work_orders as work_orders
