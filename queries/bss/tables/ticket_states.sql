-- What customers complain of.
--
-- Key: ticket_id. In: troubleTicket.* (created, statusChanged, resolved), each with the whole ticket. A late event changes
-- nothing where a greater version is known; a correction is the next version; a cancelled ticket stays, with that state.
CREATE EXTERNAL TABLE ticket_states (
    ticket_id TEXT NOT NULL,
    customer_id TEXT,
    subscription_id TEXT,
    ticket_type TEXT,
    priority TEXT,
    channel TEXT,
    severity TEXT,
    status TEXT,
    sla_due TIMESTAMP,
    satisfaction BIGINT,
    created_at TIMESTAMP,
    version BIGINT,
    changed_at TIMESTAMP
) STORED AS CLOUDEVENTS
LOCATION 'com.example.bss.troubleTicket.*, TroubleTicketCreateEvent, TroubleTicketAttributeValueChangeEvent,
    TroubleTicketStatusChangeEvent, TroubleTicketResolvedEvent, TroubleTicketInformationRequiredEvent,
    TroubleTicketDeleteEvent'
OPTIONS (
    'mode' 'latest',
    'key' 'ticket_id',
    'version' 'version',
    'column.ticket_id' 'data.ticketId',
    'column.customer_id' 'data.customerId',
    'column.subscription_id' 'data.productId',
    'column.ticket_type' 'data.type',
    'column.sla_due' 'data.slaDue',
    'column.satisfaction' 'data.csat',
    'column.created_at' 'data.createdAt',
    'column.version' 'entityversion',
    'column.changed_at' 'time'
);
